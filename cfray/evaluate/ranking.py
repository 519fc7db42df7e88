"""Fairness of rankings of the readable and labelled images of a gallery, attribute by attribute, for several k."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cfray.errors import UserError
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.embedding_files import Embedded
from cfray.metrics import RankFairness, fairness_of_attributes, similarity, summarise

# Per attribute the group of every image of a gallery, None where it is not known.
Labels = Mapping[str, Sequence[str | None]]


def rank_people(
    queries: np.ndarray, images: Embedded, labels: Labels, ks: Sequence[int], settings: Settings, where: str
) -> tuple[dict[str, dict[str, Any]], dict[str, list[RankFairness]]]:
    """Rank the images for queries (Q, d) and measure the groups of every attribute.

    An image without a label of an attribute is left out of that attribute's rankings. Attributes known for the same images
    share the ranking and the resamples.

    Returns:
        Per attribute the summary, and the results that it sums up: uniform and pool for every k, paired between models. A
        summary is as ``cfray.metrics.fairness_summary``, for several k in one dictionary: ``"maxskew@K"`` and so on for each,
        and ``"absent_groups": {"K": n}``, ``"groups": {name: {"members": n, "top_share": {"K": s}}}``.

    Raises:
        UserError: for what the metrics refuse, with ``where`` in front.
    """
    # In float32 the order of two images that are equally similar but for the last bit would be one of rounding.
    scores = similarity(queries.astype(np.float64), images.vectors.astype(np.float64))
    values = {attribute: np.array([label or "" for label in row])[images.readable] for attribute, row in labels.items()}
    together: dict[bytes, list[str]] = {}
    for attribute, row in values.items():
        together.setdefault((row != "").tobytes(), []).append(attribute)
    found: dict[str, list[RankFairness]] = {}
    names: dict[str, list[str]] = {}
    for mask, attributes in together.items():
        known = np.frombuffer(mask, bool)
        groups = {}
        for attribute in attributes:
            present, ids = np.unique(values[attribute][known], return_inverse=True)
            groups[attribute], names[attribute] = (ids, present.tolist()), present.tolist()
        try:
            found |= fairness_of_attributes(
                scores if known.all() else scores[:, known], groups, ks=ks, seed=settings.seed,
                n_bootstrap=settings.bootstrap, n_floor=settings.floor_permutations,
            )  # fmt: skip
        except ValueError as error:
            raise UserError(f"{where}, {', '.join(attributes)}: {error}") from None
    results = {attribute: found[attribute] for attribute in labels}
    return {attribute: _summary(row, names[attribute]) for attribute, row in results.items()}, results


def _summary(results: Sequence[RankFairness], names: Sequence[str]) -> dict[str, Any]:
    summary: dict[str, Any] = {"absent_groups": {}, "groups": {}}
    for both in zip(results[::2], results[1::2], strict=True):
        k, one = str(both[0].k), summarise(both, names)
        summary["absent_groups"][k] = one.pop("absent_groups")
        for name, group in one.pop("groups").items():
            entry = summary["groups"].setdefault(name, {"members": group["members"], "top_share": {}})
            entry["top_share"][k] = group["top_share"]
        summary |= one
    return summary


def require_groups(benchmark: str, attribute: str, labels: Sequence[str | None], ks: Sequence[int]) -> None:
    """UserError if the labels have fewer than two groups, or fewer images than the largest k."""
    have = [label for label in labels if label is not None]
    groups = sorted(set(have))
    if len(groups) < 2:
        what = f"one group only ({groups[0]})" if groups else "no label at all"
        raise UserError(f"attribute {attribute!r} of {benchmark} has {what}; fairness needs at least 2 groups")
    require_k(benchmark, f"with a {attribute}", len(have), ks)


def require_k(benchmark: str, which: str, images: int, ks: Sequence[int]) -> None:
    """UserError if the largest k is above the number of images that can be ranked."""
    if max(ks) > images:
        raise UserError(f"k={max(ks)} is larger than the {images} images of {benchmark} {which}; lower k")
