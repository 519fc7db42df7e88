import numpy as np
import pytest
import torch
from diffusers import AutoPipelineForInpainting, StableDiffusionXLInpaintPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from PIL import Image

from cfray.config import build_config
from cfray.errors import UserError
from cfray.generate.config import InpainterConfig
from cfray.generate.diffusion import load_pipeline
from cfray.generate.inpainting import VariantPainter, new_generator
from cfray.generate.memory import Calls
from cfray.generate.painters import composite

PROMPTS = ["a photo of a woman, a doctor", "a photo of a man, a doctor", "a photo of an old man, a doctor"]
SEEDS = [11, 12, 13]


def config(model: str, **changes) -> InpainterConfig:
    return build_config(InpainterConfig, {"model": model, "steps": 3, "strength": 0.9, "size": 64} | changes)


def scene() -> tuple[np.ndarray, np.ndarray]:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    mask = np.zeros((64, 64), bool)
    mask[20:50, 16:40] = True
    return picture, mask


def painted(settings: InpainterConfig) -> np.ndarray:
    painter = VariantPainter(load_pipeline(AutoPipelineForInpainting, settings), settings)
    return np.stack([picture for picture, _ in painter.paint(*scene(), PROMPTS, SEEDS)])


@pytest.mark.parametrize(
    ("model", "changes"),
    [("sdxl-inpaint", {}), ("sdxl-inpaint", {"guidance_scale": 1.0}), ("sdxl", {}), ("world", {"strength": 1.0})],
)
def test_variants_are_those_of_the_stock_pipeline_called_for_each(checkpoints, model, changes):
    settings = config("world:text-to-image" if model == "world" else checkpoints[model], negative_prompt="a blur", **changes)
    pipeline = load_pipeline(AutoPipelineForInpainting, settings)
    painter = VariantPainter(pipeline, settings)
    picture, mask = scene()
    encode, encoded = pipeline.vae.encode, []
    pipeline.vae.encode = lambda picture, *rest, **options: encoded.append(1) or encode(picture, *rest, **options)
    shared = painter.paint(picture, mask, PROMPTS, SEEDS)
    # The base and the masked base at most, however many variants there are.
    assert 1 <= len(encoded) <= 2
    pipeline.vae.encode = encode
    for (got, flagged), prompt, seed in zip(shared, PROMPTS, SEEDS, strict=True):
        stock = pipeline(
            prompt=prompt, negative_prompt="a blur", image=Image.fromarray(picture), mask_image=Image.fromarray(mask),
            width=64, height=64, strength=settings.strength, num_inference_steps=3, generator=new_generator(seed),
            guidance_scale=settings.guidance_scale, output_type="np",
        ).images[0]  # fmt: skip
        assert np.abs(got - stock).max() < 1e-3
        assert not flagged


def test_images_per_call_change_nothing_to_see(checkpoints):
    whole, single = (painted(config(checkpoints["sdxl-inpaint"], images_per_call=n)) for n in (None, 1))
    assert np.abs(whole - single).max() < 1e-3
    assert np.abs(whole[0] - whole[1]).max() > 1e-2


def test_slicing_and_tiling_keep_the_picture(checkpoints):
    plain = painted(config(checkpoints["sdxl-inpaint"]))
    saving = painted(config(checkpoints["sdxl-inpaint"], attention_slicing=True, vae_tiling=True))
    assert np.abs(plain - saving).max() < 1e-3


def test_scheduler_and_lora_are_used(checkpoints, tmp_path):
    pipeline = StableDiffusionXLInpaintPipeline.from_pretrained(checkpoints["sdxl-inpaint"])
    pipeline.unet.add_adapter(LoraConfig(r=2, init_lora_weights="gaussian", target_modules=["to_q", "to_v"]))
    torch.manual_seed(0)
    layers = {k: torch.randn_like(v) for k, v in get_peft_model_state_dict(pipeline.unet).items()}
    StableDiffusionXLInpaintPipeline.save_lora_weights(tmp_path / "lora", unet_lora_layers=layers)
    settings = config(
        checkpoints["sdxl-inpaint"], scheduler={"kind": "LCMScheduler"}, lora={"model": str(tmp_path / "lora"), "scale": 0.5}
    )
    loaded = load_pipeline(AutoPipelineForInpainting, settings)
    assert type(loaded.scheduler).__name__ == "LCMScheduler"
    name = next(name for name in loaded.unet.state_dict() if name.endswith("attn1.to_q.weight"))
    key = name.removesuffix(".weight")
    before = pipeline.unet.state_dict()[f"{key}.base_layer.weight"]
    low, high = layers[f"{key}.lora_A.weight"], layers[f"{key}.lora_B.weight"]
    assert torch.allclose(loaded.unet.state_dict()[name], before + 0.5 * high @ low, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheduler": {"kind": "UNet2DModel"}}, "scheduler.kind='UNet2DModel' is no diffusers scheduler"),
        ({"lora": {"model": "./nowhere"}}, "model folder './nowhere' not found"),
        ({"vae": "./nowhere"}, "model folder './nowhere' not found"),
    ],
)
def test_parts_that_cannot_be_used_are_one_line(checkpoints, changes, message):
    with pytest.raises(UserError, match=message):
        load_pipeline(AutoPipelineForInpainting, config(checkpoints["sdxl-inpaint"], **changes))


def test_pickled_weights_are_refused(checkpoints, tmp_path):
    pipeline = StableDiffusionXLInpaintPipeline.from_pretrained(checkpoints["sdxl-inpaint"])
    pipeline.save_pretrained(tmp_path / "pickled", safe_serialization=False)
    with pytest.raises(UserError, match="cannot be loaded"):
        load_pipeline(AutoPipelineForInpainting, config(str(tmp_path / "pickled")))


def test_a_call_without_memory_is_halved_and_the_rest_goes_on():
    sizes = []

    def call(part):
        sizes.append(len(part))
        if len(part) > 2:
            torch.empty(len(part) * 2**50, dtype=torch.uint8)  # truly out of memory
        return [2 * item for item in part]

    calls = Calls(None, "test")
    assert calls.run(call, list(range(7))) == [2 * i for i in range(7)]
    assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert calls.limit == 1


def test_what_does_not_fit_alone_and_other_errors_are_raised():
    with pytest.raises(RuntimeError, match="allocate"):
        Calls(None, "test").run(lambda part: [torch.empty(2**60, dtype=torch.uint8)], [1, 2])
    with pytest.raises(RuntimeError, match="shape"):
        Calls(None, "test").run(lambda part: (_ for _ in ()).throw(RuntimeError("shape")), [1, 2])


def test_feathering_stays_inside_the_mask():
    base, picture = np.zeros((20, 20, 3), np.uint8), np.full((20, 20, 3), 200, np.uint8)
    mask = np.zeros((20, 20), bool)
    mask[5:, 4:15] = True
    soft = composite(base, picture, mask, feather_px=3)
    assert not soft[~mask].any()
    assert list(soft[12, 4:8, 0]) == [50, 100, 150, 200]
    assert soft[19, 9, 0] == 200  # the picture's border is no edge of the person
