"""A fine-tuned CLIP as others take it up: what it came from, its blends for any alpha."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cfray import storage
from cfray.clip.card import model_card
from cfray.clip.model import ClipModel, load_clip, save_clip
from cfray.clip.pair import load_blend, load_pair
from cfray.errors import UserError
from cfray.world.models import model_path

ORIGIN_FILE, CARD_FILE = "cfray.json", "README.md"


def origin_files(base: str, training: dict[str, Any]) -> dict[str, bytes]:
    """The files of a checkpoint that say what it was fine-tuned from and how, by name: ``cfray.json`` and the model card.

    Args:
        base: the original model, as ``load_clip`` names it.
        training: configuration and result of ``jobs/train.py``, see ``model_card``.
    """
    origin = {"schema": 1, "base": base, "training": training}
    return {ORIGIN_FILE: (json.dumps(origin, indent=2) + "\n").encode(), CARD_FILE: model_card(training).encode()}


def evaluated_card(tuned: str, evaluation: dict[str, Any]) -> dict[str, bytes]:
    """The model card with the curve over alpha, by name, if ``tuned`` is a checkpoint that says how it was trained.

    Args:
        evaluation: the record of ``jobs/evaluate.py``, or what of it ``model_card`` takes.
    """
    origin = _origin(tuned)
    return {} if origin is None else {CARD_FILE: model_card(origin["training"], evaluation).encode()}


def read_origin(uri: str) -> str:
    """The model that the checkpoint at ``uri`` was fine-tuned from.

    Raises:
        UserError: if the folder does not say.
    """
    origin = _origin(uri)
    if origin is None:
        raise UserError(f"{uri!r} has no {ORIGIN_FILE} that names the model it was fine-tuned from; give base=...")
    return origin["base"]


def _origin(uri: str) -> dict[str, Any] | None:
    file = storage.join(uri if storage.is_remote(uri) else str(Path(model_path(uri)).expanduser()), ORIGIN_FILE)
    return json.loads(storage.read_bytes(file)) if storage.exists(file) else None


def load(uri: str, alpha: float | None = None, *, base: str | None = None) -> ClipModel:
    """Load a CLIP, blended on the fly with the model it was fine-tuned from: theta = (1 - alpha) * base + alpha * tuned.

    Args:
        uri: a checkpoint of ``jobs/train.py``, or for ``alpha=None`` any name that ``load_clip`` takes.
        alpha: in [0, 1]; None for the checkpoint as it is.
        base: the original model; by default the one that the checkpoint names.

    Raises:
        UserError: if there is no such model, the checkpoint does not name its base, or alpha is outside [0, 1].
    """
    if alpha is None:
        return load_clip(uri)
    if not 0 <= alpha <= 1:
        raise UserError(f"alpha={alpha} is outside [0, 1]")
    return load_blend(base or read_origin(uri), uri, alpha)


def write_blends(base: str, tuned: str, alphas: list[float], place: str) -> dict[str, str]:
    """Write an open_clip folder of the blend at each alpha below ``place``; returns their places by alpha."""
    pair, written = load_pair(base, tuned), {}
    for alpha in alphas:
        written[f"{alpha:g}"] = storage.join(place, f"alpha-{alpha:g}")
        save_clip(pair.clip, base, pair.at(alpha), written[f"{alpha:g}"])
    return written
