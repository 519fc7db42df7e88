"""The tiny pretrained models that ship with cfray, named ``world:NAME`` in configurations."""

from __future__ import annotations

import json
from importlib import metadata, resources
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from cfray.errors import UserError

PREFIX = "world:"
MODELS = ("text-to-image", "parser", "clip", "skin-tone-reader", "gender-reader", "profession-classifier")


def weights_folder() -> Path:
    """The folder of package data that holds the models, one sub-folder each.

    A job's uploaded working folder has the package without weights; those of the package installed on the node serve it.
    """
    own = Path(str(resources.files("cfray.world").joinpath("weights")))
    if own.is_dir():
        return own
    try:
        return _installed() / "cfray" / "world" / "weights"
    except metadata.PackageNotFoundError:
        return own


def _installed() -> Path:
    """The folder that holds the installed package: site-packages, or that of an editable install (direct_url.json, PEP 610)."""
    package = metadata.distribution("cfray")
    origin = json.loads(package.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        return Path(url2pathname(urlsplit(origin["url"]).path))
    return Path(str(package.locate_file("")))


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
