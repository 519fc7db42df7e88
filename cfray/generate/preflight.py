"""What a generating job needs, looked at before anything is written or loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
from safetensors import SafetensorError, safe_open

from cfray import storage
from cfray.errors import UserError
from cfray.generate.config import GenerateConfig, ModelConfig, TransformersWriterConfig
from cfray.generate.pools import Pool, require_pools
from cfray.world.models import model_path

PIPELINE, MODEL = "model_index.json", "config.json"
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def preflight(config: GenerateConfig, pools: list[Pool]) -> None:
    """Refuse what cannot work before anything is written or loaded.

    Raises:
        UserError: if a model cannot be read, the output cannot be written or the pools do not fit the cluster.
    """
    for model, file in models_of(config):
        require_readable(model, file)
    storage.require_writable(config.output)
    require_pools(pools, one_by_one=config.stage_by_stage)


def models_of(config: GenerateConfig) -> Iterator[tuple[ModelConfig, str | None]]:
    """Every model that is loaded by its folder or Hugging Face id, and the file that such a model has, where it is known."""
    for painter in (config.base, config.inpaint):
        yield painter, PIPELINE
        if painter.lora is not None:
            yield painter.lora, painter.lora.weights
        if painter.vae is not None:
            yield ModelConfig(model=painter.vae), MODEL
    yield config.masks, MODEL
    for model in (config.checks.skin_tone_reader, config.checks.gender_reader, config.checks.safety_checker):
        if model is not None:
            yield ModelConfig(model=model), MODEL
    if isinstance(config.write_captions, TransformersWriterConfig):
        yield config.write_captions, MODEL


def require_readable(model: ModelConfig, file: str | None) -> None:
    """Prove that a model's folder is whole by the sizes of its weights, or that its id can be fetched by its first file.

    Args:
        model: a folder or an id.
        file: what it must have; None for one whose files may have any name, such as a LoRA.

    Raises:
        UserError: if there is no such model, or a folder has no safetensors weights or damaged ones.
    """
    folder = Path(model_path(model.model)).expanduser()
    if folder.is_dir():
        if file is not None and not (folder / file).is_file():
            raise UserError(f"model folder {model.model!r} has no {file}; give a folder that has it, as its library saves it")
        weights = sorted(folder.rglob("*.safetensors"))
        if not weights:
            raise UserError(
                f"model folder {model.model!r} has no safetensors weights; other formats can run code, convert them"
            )
        for each in weights:
            _require_whole(each)
        return
    if not _HUB_ID.fullmatch(model.model):
        raise UserError(f"model {model.model!r} is no folder and no Hugging Face id; give a folder, owner/name or world:NAME")
    try:
        if file is None:
            huggingface_hub.model_info(model.model, revision=model.revision)
        else:
            huggingface_hub.hf_hub_download(model.model, file, revision=model.revision)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"model {model.model!r} cannot be read: {reason}; check the id, the network or the token") from None


def _require_whole(weights: Path) -> None:
    """UserError unless a safetensors file is as long as its header says; the tensors are not read."""
    try:
        with safe_open(weights, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise UserError(f"weights {str(weights)!r} are damaged ({str(error).splitlines()[0]}); copy the model again") from None
