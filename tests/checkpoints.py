"""Tiny checkpoints with random weights of the architectures that production uses, saved in the same formats."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessor,
)

from cfray.world.models import model_path

ATR_LABELS = (
    "Background", "Hat", "Hair", "Sunglasses", "Upper-clothes", "Skirt", "Pants", "Dress", "Belt", "Left-shoe", "Right-shoe",
    "Face", "Left-leg", "Right-leg", "Left-arm", "Right-arm", "Bag", "Scarf",
)  # fmt: skip
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|> {{ message['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def save_sdxl(folder: Path, *, inpainting: bool = False, width: int = 32, size: int = 64, vae_width: int = 8) -> str:
    """An SDXL pipeline with two text encoders; ``inpainting`` gives its UNet nine channels. Pictures of ``size`` pixels."""
    torch.manual_seed(0)
    tokenizer = CLIPTokenizer.from_pretrained(f"{model_path('world:text-to-image')}/tokenizer")
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=37, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length, projection_dim=32, hidden_act="gelu",
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=size // 8, in_channels=9 if inpainting else 4, out_channels=4, layers_per_block=2,
        block_out_channels=(width, 2 * width), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), transformer_layers_per_block=(1, 2), attention_head_dim=(2, 4),
        use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 32, cross_attention_dim=64, norm_num_groups=width // 2,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(vae_width, 2 * vae_width, 4 * vae_width, 4 * vae_width), latent_channels=4, sample_size=size,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2,
        norm_num_groups=vae_width // 2, scaling_factor=0.13025,
    )  # fmt: skip
    kind = StableDiffusionXLInpaintPipeline if inpainting else StableDiffusionXLPipeline
    pipeline = kind(
        vae=vae, text_encoder=CLIPTextModel(text), text_encoder_2=CLIPTextModelWithProjection(text), tokenizer=tokenizer,
        tokenizer_2=tokenizer, unet=unet, scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear"),
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return str(folder)


def save_segformer(folder: Path, labels: tuple[str, ...] = ATR_LABELS, favour: str | None = None) -> str:
    """A SegFormer over ``labels`` with its image processor; a ``favour``-ed label wins everywhere."""
    torch.manual_seed(1)
    config = SegformerConfig(
        num_encoder_blocks=4, depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 16, 16], num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16, id2label=dict(enumerate(labels)), label2id={name: i for i, name in enumerate(labels)},
    )  # fmt: skip
    model = SegformerForSemanticSegmentation(config)
    if favour is not None:
        with torch.no_grad():
            model.decode_head.classifier.bias[labels.index(favour)] = 100.0
    model.save_pretrained(folder)
    SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return str(folder)


def save_llama(folder: Path, recites: list[str] | None = None) -> str:
    """A Llama with a chat template; ``recites`` sets its weights by hand so that it answers those lines and stops.

    Each line is one token: attention and MLP add nothing, and the head maps every token to the next line.
    """
    torch.manual_seed(2)
    lines = [f"{line}\n" for line in recites or []]
    words = ["<unk>", "<eos>", "<|system|>", "<|user|>", "<|assistant|>", *lines]
    words += ["".join((a, b)) for a in "abcdefgh" for b in "aeiou"]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", eos_token="<eos>", pad_token="<eos>", chat_template=CHAT_TEMPLATE
    )
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words), hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=512, eos_token_id=1, bos_token_id=1, pad_token_id=1,
        )  # fmt: skip
    )
    if lines:
        with torch.no_grad():
            for layer in model.model.layers:
                layer.self_attn.o_proj.weight.zero_()
                layer.mlp.down_proj.weight.zero_()
            rows = torch.nn.functional.normalize(torch.randn(len(words), 64), dim=1)
            model.model.embed_tokens.weight.copy_(rows)
            model.lm_head.weight.zero_()
            first = words.index(lines[0])
            chain = [words.index("<|assistant|>"), *range(first, first + len(lines)), 1]
            for now, then in zip(chain, chain[1:], strict=False):
                model.lm_head.weight[then] = 50 * rows[now]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def save_safety_checker(folder: Path, *, flags: bool) -> str:
    """A safety checker that flags every picture, or none: its thresholds are below or above any cosine."""
    torch.manual_seed(3)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        vision_config=small | {"image_size": 32, "patch_size": 16, "projection_dim": 16}, text_config=small, projection_dim=16
    )
    model = StableDiffusionSafetyChecker(config)
    with torch.no_grad():
        model.concept_embeds_weights.fill_(-2.0 if flags else 2.0)
    model.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)
