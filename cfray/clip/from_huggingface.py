"""Reads a transformers ``CLIPModel`` folder, as ``save_huggingface`` writes it: turned into a folder of open_clip's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessor

from cfray.clip.huggingface import NoCounterpartError, restore_state
from cfray.clip.model import CONFIG_FILE, WEIGHTS_FILE
from cfray.errors import UserError

_WEIGHTS = "model.safetensors"
_INTERPOLATIONS = {Image.Resampling.BICUBIC: "bicubic", Image.Resampling.BILINEAR: "bilinear"}
_LAYER_NORM_EPS = 1e-5
# In the configuration of a CLIPModel: pool where the id is greatest, whatever id that is.
_GREATEST_ID = 2


def write_open_clip(source: Path, target: Path) -> None:
    """Write the model of a ``CLIPModel`` folder into the existing folder ``target`` as open_clip reads it.

    Raises:
        UserError: if the folder has no safetensors weights or no tokenizer, or open_clip has no such architecture.
    """
    for name in (_WEIGHTS, "tokenizer_config.json"):
        if not (source / name).is_file():
            raise UserError(f"CLIP model folder {str(source)!r} has no {name}; save model and processor with save_pretrained")
    config = CLIPConfig.from_pretrained(source)
    try:
        model, preprocess = _model_config(config), _preprocess_config(CLIPImageProcessor.from_pretrained(source), config)
        state = restore_state(load_file(source / _WEIGHTS))
    except (NoCounterpartError, SafetensorError) as error:
        raise UserError(f"CLIP model folder {str(source)!r} cannot be read as an open_clip model: {error}") from None
    for file in source.iterdir():
        if file.is_file() and file.name.startswith(("tokenizer", "vocab", "merges", "special_tokens")):
            shutil.copy(file, target)
    (target / CONFIG_FILE).write_text(json.dumps({"model_cfg": model, "preprocess_cfg": preprocess}, indent=2) + "\n")
    save_file(state, target / WEIGHTS_FILE)


def _model_config(config: CLIPConfig) -> dict:
    vision, text = config.vision_config, config.text_config
    if vision.hidden_act != text.hidden_act or text.hidden_act not in ("gelu", "quick_gelu"):
        raise NoCounterpartError(f"its activations are {vision.hidden_act} and {text.hidden_act}, not both gelu or quick_gelu")
    if {vision.layer_norm_eps, text.layer_norm_eps} != {_LAYER_NORM_EPS}:
        raise NoCounterpartError(f"layer_norm_eps is {vision.layer_norm_eps} and {text.layer_norm_eps}, not {_LAYER_NORM_EPS}")
    if text.eos_token_id not in (_GREATEST_ID, text.vocab_size - 1):
        raise NoCounterpartError(f"eos_token_id={text.eos_token_id} is not the greatest id, {text.vocab_size - 1}")
    return {
        "embed_dim": config.projection_dim,
        "quick_gelu": text.hidden_act == "quick_gelu",
        "vision_cfg": {
            "image_size": vision.image_size, "patch_size": vision.patch_size, "width": vision.hidden_size,
            "layers": vision.num_hidden_layers, "head_width": vision.hidden_size // vision.num_attention_heads,
            "mlp_ratio": vision.intermediate_size / vision.hidden_size,
        },
        "text_cfg": {
            "context_length": text.max_position_embeddings, "vocab_size": text.vocab_size, "width": text.hidden_size,
            "layers": text.num_hidden_layers, "heads": text.num_attention_heads,
            "mlp_ratio": text.intermediate_size / text.hidden_size,
            # open_clip takes the tokenizer beside its configuration where one is named, whatever the name.
            "hf_tokenizer_name": "tokenizer",
        },
    }  # fmt: skip


def _preprocess_config(processor: CLIPImageProcessor, config: CLIPConfig) -> dict:
    side = config.vision_config.image_size
    sizes = (processor.size["shortest_edge"], processor.crop_size["height"], processor.crop_size["width"])
    if sizes != (side, side, side) or processor.resample not in _INTERPOLATIONS:
        raise NoCounterpartError(f"its processor resizes and crops to {sizes} with filter {processor.resample}, not to {side}")
    return {
        "mean": list(processor.image_mean), "std": list(processor.image_std),
        "interpolation": _INTERPOLATIONS[processor.resample], "resize_mode": "shortest",
    }  # fmt: skip
