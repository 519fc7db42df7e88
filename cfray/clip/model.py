"""Loads and saves CLIP models through open_clip: shipped tags, Hugging Face ids, local folders and ``world:clip``."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch
from open_clip.factory import HF_HUB_PREFIX, LOCAL_DIR_PREFIX
from safetensors.torch import save_file
from torch import nn

from cfray import storage
from cfray.errors import UserError
from cfray.world.models import model_path

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"


@dataclass
class ClipModel:
    """A CLIP with what goes with it.

    ``model`` has open_clip's ``encode_image`` and ``encode_text``; ``preprocess`` maps a PIL image to a float tensor
    (3, h, w); ``tokenize`` maps a list of texts to int64 ids (n, context). ``folder`` holds its configuration and
    tokenizer, None for a model that open_clip knows by tag.
    """

    model: nn.Module
    preprocess: Callable
    tokenize: Callable[[list[str]], torch.Tensor]
    folder: Path | None


def load_clip(name: str, *, augment: bool = False) -> ClipModel:
    """Load a CLIP in float32 on the CPU, in evaluation mode.

    Args:
        name: ``world:clip``; a local folder or a remote place in open_clip's format (open_clip_config.json,
            open_clip_model.safetensors); ``hf-hub:owner/name``; or ``architecture/tag``, for example ``ViT-B-16/openai``.
        augment: return open_clip's training transform as ``preprocess``.

    Raises:
        UserError: if there is no such model.
    """
    identifier, tag, folder = _locate(name)
    try:
        model, train_transform, transform = open_clip.create_model_and_transforms(identifier, pretrained=tag, precision="fp32")
        tokenize = open_clip.get_tokenizer(identifier)
    except (RuntimeError, FileNotFoundError, OSError) as error:
        raise UserError(f"CLIP model {name!r} cannot be loaded: {str(error).splitlines()[0]}") from None
    return ClipModel(model.float().eval(), train_transform if augment else transform, tokenize, folder)


def _locate(name: str) -> tuple[str, str | None, Path | None]:
    """open_clip's identifier and pretrained tag for a name, and the local folder behind it."""
    if name.startswith(HF_HUB_PREFIX):
        return name, None, None
    if storage.is_remote(name):
        folder = storage.download_folder(name, Path(tempfile.mkdtemp(prefix="cfray-clip-")))
        return f"{LOCAL_DIR_PREFIX}{folder}", None, folder
    folder = Path(model_path(name)).expanduser()
    if (folder / CONFIG_FILE).is_file():
        if not (folder / WEIGHTS_FILE).is_file():
            raise UserError(f"CLIP model folder {name!r} has no {WEIGHTS_FILE}; export the model again")
        return f"{LOCAL_DIR_PREFIX}{folder}", None, folder
    architecture, slash, tag = name.partition("/")
    if slash and tag in open_clip.list_pretrained_tags_by_model(architecture):
        return architecture, tag, None
    raise UserError(
        f"CLIP model {name!r} not found; give world:clip, a folder with {CONFIG_FILE}, hf-hub:owner/name, "
        "or architecture/tag as in open_clip.list_pretrained()"
    )


def save_clip(clip: ClipModel, source: str, state: dict[str, torch.Tensor], place: str) -> None:
    """Write a checkpoint folder that ``load_clip`` and open_clip read: configuration, tokenizer, float32 weights.

    Args:
        clip: the loaded model that ``state`` belongs to.
        source: the name it was loaded by; its architecture is looked up when it has no folder.
        state: the weights, which may differ from those of ``clip``.
        place: a local folder or remote place.
    """
    with tempfile.TemporaryDirectory(prefix="cfray-save-") as scratch:
        folder = Path(scratch)
        if clip.folder is not None:
            for file in clip.folder.iterdir():
                if file.is_file() and file.name != WEIGHTS_FILE:
                    (folder / file.name).write_bytes(file.read_bytes())
        else:
            config = {
                "model_cfg": open_clip.get_model_config(source.partition("/")[0]),
                "preprocess_cfg": clip.model.visual.preprocess_cfg,
            }
            (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n")
        save_file({key: value.detach().contiguous().cpu() for key, value in state.items()}, folder / WEIGHTS_FILE)
        storage.upload_folder(folder, place)
