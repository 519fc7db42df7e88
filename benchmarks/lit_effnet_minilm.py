"""Turns the folder lit_effnet_minilm (float16 weights, tokenizer in a sub-folder) into one that cfray and open_clip load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from cfray.clip.model import ClipModel, load_clip

TOWER = "minilm_l6"


def export(source: Path, target: Path) -> Path:
    """Write ``target`` with float32 weights and, as open_clip expects of a local folder, the tokenizer in the folder itself."""
    target.mkdir(parents=True, exist_ok=True)
    for file in (source / TOWER).iterdir():
        shutil.copyfile(file, target / file.name)
    config = json.loads((source / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] |= {"hf_model_name": str(target.resolve()), "hf_tokenizer_name": str(target.resolve())}
    (target / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    weights = load_file(source / "open_clip_model.fp16.safetensors")
    weights = {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in weights.items()}
    save_file(weights, target / "open_clip_model.safetensors")
    return target


def load_as_it_is(name: str, scratch: Path) -> ClipModel:
    """A CLIP as ``load_clip`` names it, or the folder lit_effnet_minilm as it is, exported to ``scratch``."""
    folder = Path(name)
    return load_clip(str(export(folder, scratch)) if (folder / TOWER).is_dir() else name)
