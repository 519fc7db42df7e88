"""Loads and saves CLIP models, debiased or not, through open_clip: shipped tags, Hugging Face ids, folders, ``world:clip``."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import open_clip
import torch
from open_clip.factory import HF_HUB_PREFIX, LOCAL_DIR_PREFIX
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from cfray import storage
from cfray.clip.debiased import (
    SETTINGS_FILE,
    DebiasedTowers,
    attach,
    read_debiaser,
    save_debiaser,
    split_state,
    weights_hash,
)
from cfray.clip.debiasers import Debiaser
from cfray.errors import UserError
from cfray.world.models import model_path

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
TRANSFORMERS_FILE = "config.json"


@dataclass
class ClipModel:
    """A CLIP with what goes with it.

    ``model`` has open_clip's ``encode_image`` and ``encode_text``; ``preprocess`` maps a PIL image to a float tensor
    (3, h, w); ``tokenize`` maps a list of texts to int64 ids (n, context). ``files`` are its configuration and tokenizer as
    bytes by file name, none for a model that open_clip knows by tag.
    """

    model: nn.Module
    preprocess: Callable
    tokenize: Callable[[list[str]], torch.Tensor]
    files: dict[str, bytes]


def load_clip(name: str, *, augment: bool = False, strength: float | None = None) -> ClipModel:
    """Load a CLIP in float32 on the CPU, in evaluation mode.

    Args:
        name: ``world:clip``; a local folder or a remote place in open_clip's format (open_clip_config.json,
            open_clip_model.safetensors) or of a transformers ``CLIPModel``; ``hf-hub:owner/name``; or ``architecture/tag``, for
            example ``ViT-B-16/openai``.
            A folder with a debiaser beside the CLIP is a debiased model.
        augment: return open_clip's training transform as ``preprocess``.
        strength: of a debiased model, in [0, 1]; that which it was saved with when left out.

    Raises:
        UserError: if there is no such model, its files are not those that its checksums are of, its debiaser was fitted
            on other weights, or a strength is given and it has none.
    """
    with tempfile.TemporaryDirectory(prefix="cfray-clip-") as scratch:
        identifier, tag, folder = _locate(name, Path(scratch))
        try:
            model, train_transform, transform = open_clip.create_model_and_transforms(
                identifier, pretrained=tag, precision="fp32"
            )
            tokenize = open_clip.get_tokenizer(identifier)
        except (RuntimeError, OSError, SafetensorError) as error:
            raise UserError(f"CLIP model {name!r} cannot be loaded: {str(error).splitlines()[0]}") from None
        clip = ClipModel(model.float().eval(), train_transform if augment else transform, tokenize, _small_files(folder))
        if folder is None or not (folder / SETTINGS_FILE).is_file():
            if strength is not None:
                raise UserError(f"CLIP model {name!r} is not debiased, so it has no strength; give a model of jobs/debias.py")
            return clip
        debiaser, saved = read_debiaser(str(folder))
    return debias_clip(clip, debiaser, saved if strength is None else strength)


def _small_files(folder: Path | None) -> dict[str, bytes]:
    """What a CLIP's folder holds besides weights and a debiaser: configuration and tokenizer, in files of any kind."""
    files = [] if folder is None else [file for file in folder.iterdir() if file.is_file()]
    weights = (".safetensors", ".bin", ".pt", ".pth")
    return {file.name: file.read_bytes() for file in files if file.suffix not in weights and file.name != SETTINGS_FILE}


def require_undebiased(clip: ClipModel, name: str) -> None:
    """UserError if the CLIP of this name has a debiaser, where the towers themselves are to change or to be debiased."""
    if isinstance(clip.model, DebiasedTowers):
        raise UserError(f"CLIP model {name!r} is debiased already; give the CLIP that it was fitted on")


def debias_clip(clip: ClipModel, debiaser: Debiaser, strength: float = 1.0, *, other_weights: bool = False) -> ClipModel:
    """``attach`` for a CLIP with what goes with it."""
    return replace(clip, model=attach(clip.model, debiaser, strength, other_weights=other_weights))


def _locate(name: str, scratch: Path) -> tuple[str, str | None, Path | None]:
    """open_clip's identifier and pretrained tag for a name, and the local folder behind it, which may be in ``scratch``."""
    if name.startswith(HF_HUB_PREFIX):
        return name, None, None
    if storage.is_remote(name):
        folder = storage.download_folder(name, scratch / "remote")
    else:
        folder = Path(model_path(name)).expanduser()
    if (folder / CONFIG_FILE).is_file():
        if not (folder / WEIGHTS_FILE).is_file():
            raise UserError(f"CLIP model folder {name!r} has no {WEIGHTS_FILE}; export the model again")
        storage.verify_folder(folder)
        return f"{LOCAL_DIR_PREFIX}{folder}", None, folder
    if (folder / TRANSFORMERS_FILE).is_file():
        folder = _from_transformers(folder, name, scratch / "open_clip")
        return f"{LOCAL_DIR_PREFIX}{folder}", None, folder
    architecture, slash, tag = name.partition("/")
    if slash and tag in open_clip.list_pretrained_tags_by_model(architecture):
        return architecture, tag, None
    raise UserError(
        f"CLIP model {name!r} not found; give world:clip, a folder with {CONFIG_FILE} or of a transformers CLIPModel, "
        "hf-hub:owner/name, or architecture/tag as in open_clip.list_pretrained()"
    )


def _from_transformers(folder: Path, name: str, target: Path) -> Path:
    """``target``, made a folder in open_clip's format with the model of a transformers folder.

    Raises:
        UserError: if it is no ``CLIPModel``, its files are not those that its checksums are of, or open_clip has no such
            architecture.
    """
    kind = json.loads((folder / TRANSFORMERS_FILE).read_text()).get("model_type")
    if kind != "clip":
        raise UserError(f"CLIP model folder {name!r} has model_type={kind!r} of transformers; only 'clip' can be read so")
    storage.verify_folder(folder)
    from cfray.clip.from_huggingface import write_open_clip  # transformers' models take seconds to import

    target.mkdir()
    write_open_clip(folder, target)
    return target


def save_clip(
    clip: ClipModel, source: str, state: dict[str, torch.Tensor], place: str, *, files: dict[str, bytes] | None = None
) -> None:
    """Write a checkpoint folder that ``load_clip`` and open_clip read: configuration, tokenizer, float32 weights.

    The debiaser of a debiased model is written beside it, with its strength. open_clip itself reads the CLIP without it.

    Args:
        clip: the loaded model that ``state`` belongs to.
        source: the name it was loaded by; its architecture is looked up when it has no files.
        state: the weights, which may differ from those of ``clip``.
        place: a local folder or remote place.
        files: further files to write with it, by name, such as a model card.
    """
    with tempfile.TemporaryDirectory(prefix="cfray-save-") as scratch:
        folder = Path(scratch)
        if isinstance(clip.model, DebiasedTowers):
            state, strength = split_state(state)
            save_debiaser(clip.model.debiaser, str(folder), strength=strength, weights=weights_hash(state))
        own = clip.files
        if not own:
            config = {
                "model_cfg": open_clip.get_model_config(source.partition("/")[0]),
                "preprocess_cfg": clip.model.visual.preprocess_cfg,
            }
            own = {CONFIG_FILE: (json.dumps(config, indent=2) + "\n").encode()}
        save_file({key: value.detach().contiguous().cpu() for key, value in state.items()}, folder / WEIGHTS_FILE)
        for name, content in (own | (files or {})).items():
            (folder / name).write_bytes(content)
        storage.upload_folder(folder, place)
