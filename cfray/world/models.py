"""The tiny pretrained models that ship with cfray, named ``world:NAME`` in configurations."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

from cfray.errors import UserError

PREFIX = "world:"
MODELS = ("text-to-image", "parser", "clip", "skin-tone-reader", "gender-reader", "profession-classifier")


def weights_folder() -> Path:
    """The folder of package data that holds the models, one sub-folder each.

    A job's uploaded working folder has the package without weights; those of the package installed on the node serve it.
    """
    own = Path(str(resources.files("cfray.world").joinpath("weights")))
    installed = (Path(entry) / "cfray" / "world" / "weights" for entry in sys.path)
    return next((folder for folder in (own, *installed) if folder.is_dir()), own)


def model_path(model: str) -> str:
    """The local folder of a ``world:NAME`` model; any other id or path is returned as it is.

    Raises:
        UserError: if there is no world model of that name, or a local path has no folder behind it.
    """
    if model.startswith(PREFIX):
        name = model.removeprefix(PREFIX)
        if name not in MODELS:
            raise UserError(f"model {model!r} is not in the embedded world; it has {', '.join(PREFIX + m for m in MODELS)}")
        folder = weights_folder() / name
        if not folder.is_dir():
            raise UserError(f"model {model!r} has no weights at {folder}; run jobs/build_world.py or install the wheel")
        return str(folder)
    if model.startswith((".", "/", "~")) and not Path(model).expanduser().is_dir():
        raise UserError(f"model folder {model!r} not found; give a folder, a Hugging Face id or world:NAME")
    return model
