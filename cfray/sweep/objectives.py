"""What a measured alpha is worth: the few numbers that a sweep compares, from the fairness and accuracy of a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cfray.errors import UserError
from cfray.sweep.config import ConstraintConfig
from cfray.sweep.front import choose, hypervolume

APPEARANCE = "recall@5_appearance"  # measures what the method removes, so that its loss is none
SCORES = ("maxskew", "floor", "maxskew_above_floor", "ndkl", "able", "accuracy_lost")
# Accuracy lost up to which models count in the hypervolume; a model that loses more is of no use to anybody.
WORST_LOSS = 0.2


def score(point: Mapping[str, Any], base: Mapping[str, Any], constraint: ConstraintConfig) -> dict[str, float]:
    """The ``SCORES`` of one point, with the point of alpha 0 as ``base``.

    ``maxskew``, its ``floor`` (the mean over random rankings) and ``ndkl`` are of the first gallery, uniform target, means
    over attributes and k, in nats; ``accuracy_lost`` is a fraction, negative where accuracy rose; ``able`` is NaN where its
    accuracy is not measured.

    Raises:
        UserError: if no benchmark measures fairness, or the accuracy of the constraint is not measured.
    """
    if not point["fairness"]:
        raise UserError("no benchmark of evaluate measures fairness; add one, such as fairface or world")
    gallery = next(iter(point["fairness"].values()))
    skew = [(row["value"], row["floor"]) for row in _uniform(gallery, "maxskew@")]
    value, floor = np.mean(skew, axis=0)
    able = [value for of in next(iter(point.get("able", {}).values()), {}).values() for value in of.values()]
    return {
        "maxskew": float(value),
        "floor": float(floor),
        "maxskew_above_floor": float(value - floor),
        "ndkl": float(np.mean([row["value"] for row in _uniform(gallery, "ndkl@")])),
        "able": float(np.mean(able)) if able else float("nan"),
        "accuracy_lost": accuracy_lost(point["accuracy"], base["accuracy"], constraint.accuracy),
    }


def accuracy_lost(now: Mapping[str, float], base: Mapping[str, float], name: str | None) -> float:
    """How far the accuracy ``name``, or the one that fell most, is below that of the base: a fraction.

    Raises:
        UserError: if there is no such accuracy.
    """
    if name is not None and name not in base:
        raise UserError(f"constraint.accuracy={name!r} is not measured; measured are {', '.join(base)}")
    counted = [name] if name is not None else [key for key in base if key != APPEARANCE]
    return max((base[key] - now[key] for key in counted), default=0.0)


def summarise_trial(scores: Sequence[Mapping[str, float]], constraint: ConstraintConfig) -> dict[str, float]:
    """What a trial reports: the scores at the alpha that the constraint chooses (the least loss if none qualifies), and the
    hypervolume of all its alphas over (MaxSkew above the floor, accuracy lost), below (the base's skew, ``WORST_LOSS``)."""
    skew = np.array([row["maxskew_above_floor"] for row in scores])
    lost = np.array([row["accuracy_lost"] for row in scores])
    best = choose(skew, lost, constraint.max_lost)
    chosen = scores[int(np.argmin(lost)) if best is None else best]
    volume = hypervolume(np.stack([skew, lost], axis=1), np.array([max(skew[0], 1e-9), WORST_LOSS]))
    return {name: chosen[name] for name in SCORES} | {"hypervolume": volume}


def _uniform(gallery: Mapping[str, Any], prefix: str) -> list[Mapping[str, float]]:
    return [row["uniform"] for of in gallery.values() for key, row in of.items() if key.startswith(prefix)]
