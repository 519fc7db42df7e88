import json
import shutil

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

from cfray.clip.huggingface import NoCounterpartError, convert_state, restore_state, save_huggingface
from cfray.clip.model import load_clip, save_clip
from cfray.errors import UserError
from cfray.world import corpora


def test_transformers_embeds_what_open_clip_embeds(tmp_path):
    clip = load_clip("world:clip")
    save_huggingface(clip, clip.model.state_dict(), str(tmp_path))
    model, texts = CLIPModel.from_pretrained(tmp_path).eval(), ["a photo of a doctor", "a cat"]
    picture = Image.fromarray(corpora.things(1, 0).pictures[0])
    pixels = CLIPImageProcessor.from_pretrained(tmp_path)(picture, return_tensors="pt")["pixel_values"]
    tokens = AutoTokenizer.from_pretrained(tmp_path)(
        texts, padding="max_length", max_length=clip.model.context_length, truncation=True, return_tensors="pt"
    )
    assert torch.equal(tokens["input_ids"], clip.tokenize(texts))
    with torch.no_grad():
        theirs = model(input_ids=tokens["input_ids"], pixel_values=pixels)
        images = F.normalize(clip.model.encode_image(clip.preprocess(picture)[None]), dim=-1)
        ours = F.normalize(clip.model.encode_text(clip.tokenize(texts)), dim=-1)
    torch.testing.assert_close(theirs.image_embeds, images, atol=1e-5, rtol=0)
    torch.testing.assert_close(theirs.text_embeds, ours, atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """The world's CLIP as a Hugging Face folder."""
    clip, place = load_clip("world:clip"), str(tmp_path_factory.mktemp("released"))
    save_huggingface(clip, clip.model.state_dict(), place)
    return place


@torch.no_grad()
def embeddings(clip) -> tuple[torch.Tensor, torch.Tensor]:
    pictures = torch.stack([clip.preprocess(Image.fromarray(picture)) for picture in corpora.things(3, 0).pictures])
    ids = clip.tokenize(["a photo of a doctor", "A cat.", "", "a very long caption " * 40])
    return F.normalize(clip.model.encode_image(pictures), dim=-1), F.normalize(clip.model.encode_text(ids), dim=-1)


def test_a_released_folder_loads_as_the_model_that_it_came_from(released):
    for ours, theirs in zip(embeddings(load_clip("world:clip")), embeddings(load_clip(released)), strict=True):
        torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=0)


def test_a_released_folder_is_fine_tuned_and_released_again(released, tmp_path):
    clip = load_clip(released)
    save_clip(clip, released, clip.model.state_dict(), str(tmp_path / "checkpoint"))
    again = load_clip(str(tmp_path / "checkpoint"))
    save_huggingface(again, again.model.state_dict(), str(tmp_path / "released"))
    first, second = (load_file(f"{folder}/model.safetensors") for folder in (released, tmp_path / "released"))
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_a_model_with_quick_gelu_and_the_tokenizer_of_clip_comes_back(tmp_path):
    config = {
        "embed_dim": 32, "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }  # fmt: skip
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{tmp_path}/tiny", load_weights=False)
    save_file(model.state_dict(), tmp_path / "tiny" / "open_clip_model.safetensors")
    clip = load_clip(str(tmp_path / "tiny"))
    save_huggingface(clip, clip.model.state_dict(), str(tmp_path / "released"))
    for ours, theirs in zip(embeddings(clip), embeddings(load_clip(str(tmp_path / "released"))), strict=True):
        torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=0)
    tokens = AutoTokenizer.from_pretrained(tmp_path / "released")("A Doctor's  cat")["input_ids"]
    assert tokens == clip.tokenize(["A Doctor's  cat"])[0, : len(tokens)].tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "siglip"}, "has model_type='siglip' of transformers; only 'clip' can be read so"),
        ({"vision_config": {"hidden_act": "relu"}}, "its activations are relu and gelu"),
        ({"text_config": {"eos_token_id": 7}}, "eos_token_id=7 is not the greatest id, 874"),
        ({"vision_config": {"layer_norm_eps": 1e-6}}, "layer_norm_eps is 1e-06 and 1e-05, not 1e-05"),
        ({"vision_config": {"image_size": 32}}, r"resizes and crops to \(64, 64, 64\) with filter 3, not to 32"),
    ],
)
def test_folders_that_open_clip_has_no_architecture_for_are_refused(released, tmp_path, change, message):
    shutil.copytree(released, tmp_path, dirs_exist_ok=True)
    (tmp_path / "SHA256SUMS").unlink()
    config = json.loads((tmp_path / "config.json").read_text())
    for key, value in change.items():
        config[key] = config[key] | value if isinstance(value, dict) else value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=message):
        load_clip(str(tmp_path))


def test_a_folder_without_weights_says_which_file_is_missing(released, tmp_path):
    shutil.copytree(released, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors", "SHA256SUMS"))
    with pytest.raises(UserError, match=r"has no model.safetensors; save model and processor with save_pretrained"):
        load_clip(str(tmp_path))


def test_what_has_no_place_is_named():
    with pytest.raises(NoCounterpartError, match="no place for the weight 'visual.trunk.head.weight'"):
        convert_state({"visual.trunk.head.weight": torch.zeros(1)})
    with pytest.raises(NoCounterpartError, match="no place for the weight 'vision_model.head.weight'"):
        restore_state({"vision_model.head.weight": torch.zeros(1)})
