"""Pretrains the open_clip CLIP on the biased corpus and saves it as an open_clip folder."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import torch
from open_clip.factory import create_model
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import CLIPTokenizer

from cfray.world.build.loop import draw, fit, mixed_precision, to_float
from cfray.world.build.tokenizer import CONTEXT
from cfray.world.canvas import SIZE

MEAN = STD = (0.5, 0.5, 0.5)


def clip_config(vocabulary: int) -> dict:
    """The open_clip ``model_cfg``: patch 16, width 192, 4 layers, 128-d embeddings."""
    return {
        "embed_dim": 128,
        "vision_cfg": {"image_size": SIZE, "layers": 4, "width": 192, "head_width": 48, "patch_size": 16, "mlp_ratio": 3.0},
        "text_cfg": {
            "context_length": CONTEXT, "vocab_size": vocabulary, "width": 128, "heads": 4, "layers": 3,
            # open_clip reads the tokenizer from the model's own folder when this name is set.
            "hf_tokenizer_name": "cfray/world-clip",
        },
    }  # fmt: skip


def write_clip_folder(folder: Path, state: dict[str, torch.Tensor] | None, tokenizer: CLIPTokenizer) -> None:
    """Write ``open_clip_config.json``, the tokenizer and, where ``state`` is given, ``open_clip_model.safetensors``."""
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    config = {"model_cfg": clip_config(len(tokenizer)), "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokenizer.save_pretrained(folder)
    if state is not None:
        save_file({key: value.contiguous() for key, value in state.items()}, folder / "open_clip_model.safetensors")


def pretrain_clip(
    pictures: torch.Tensor, captions: list[str], tokenizer: CLIPTokenizer, work: Path, *, steps: int, batch: int = 192
) -> open_clip.CLIP:
    """Pretrain with the CLIP loss on uint8 pictures (n, 64, 64, 3), one caption each."""
    torch.manual_seed(15)
    write_clip_folder(work / "clip-config", None, tokenizer)
    model = create_model(f"local-dir:{work / 'clip-config'}", load_weights=False)
    ids = open_clip.get_tokenizer(f"local-dir:{work / 'clip-config'}")(captions)

    def step_loss(step: int, generator: torch.Generator) -> torch.Tensor:
        chosen = draw(pictures, batch, generator)
        with mixed_precision():
            image, text, scale = model(to_float(pictures[chosen]), ids[chosen])
        logits = scale.float() * image.float() @ text.float().T
        targets = torch.arange(batch)
        return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2

    return fit("clip", model, step_loss, work=work, steps=steps, lr=1e-3, warmup=60, weight_decay=0.1)
