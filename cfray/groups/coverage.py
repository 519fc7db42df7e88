"""Which appearance clusters a concept's base images lack, and how often the next run should ask for what is rare."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import binom

from cfray.dataset.audit import BASE
from cfray.dataset.schema import KEPT
from cfray.errors import UserError
from cfray.groups.clusters import AppearanceClusters, concept_directions

CONFIDENCE = 0.95


def appearance_coverage(readings: pa.Table, values: dict[str, list[str]], *, seed: int = 0) -> dict[str, Any]:
    """Clusters of all kept images once the concepts are projected out, and how a concept's base images fill them.

    The variants of a set are painted into every appearance asked for, so the share of a cluster among them is what a balanced
    concept would have. A concept *lacks* a cluster if its base images are fewer there than chance leaves room for: a binomial
    probability below 5 % over the number of clusters and concepts (Bonferroni).

    Args:
        readings: rows of ``cfray.dataset.audit.readings_schema``.
        values: the values of every axis.
        seed: of the clustering.

    Returns:
        ``clusters``: name, share of variants, and per axis the most frequent value asked for with its share; ``concepts``: per
        concept the base images in each cluster, the names of those it ``lacks``, and ``measured``, see ``measured_counts``;
        ``measured`` of all concepts. Ready for JSON. ``reason`` instead of clusters where the images form none.
    """
    rows = readings.select(["concept", "variant", "status", "requested", "read"]).to_pylist()
    is_base = np.array([row["variant"] == BASE for row in rows], bool)
    kept = np.array([row["status"] == KEPT for row in rows], bool)
    names, concepts = np.unique([row["concept"] for row in rows], return_inverse=True)
    features = np.asarray(readings["feature"].to_pylist(), np.float32)
    asked = kept & ~is_base
    found: dict[str, Any] = {"measured": measured_counts(rows, values), "clusters": []}
    of = {name: np.flatnonzero(is_base & (concepts == number)) for number, name in enumerate(names.tolist())}
    found["concepts"] = {
        name: {"measured": measured_counts([rows[i] for i in np.flatnonzero(concepts == number)], values)}
        for number, name in enumerate(of)
    }
    used = is_base | kept
    try:
        _, ids = np.unique(concepts[used], return_inverse=True)
        clusters = AppearanceClusters(features[used], concept_directions(features[used], ids), seed=seed)
    except UserError as error:
        return found | {"reason": str(error)}
    groups = clusters.infer(features).groups
    count = len(clusters.names)
    shares = np.bincount(groups[asked], minlength=count) / max(asked.sum(), 1)
    inside = [[rows[i] for i in np.flatnonzero(asked & (groups == c))] for c in range(count)]
    found["clusters"] = [
        {"name": name, "share": float(share), "asked": _asked(own, values)}
        for name, share, own in zip(clusters.names, shares, inside, strict=True)
    ]
    level = (1 - CONFIDENCE) / (count * len(names))
    for name, members in of.items():
        sizes = np.bincount(groups[members], minlength=count)
        rare = binom.cdf(sizes, len(members), shares) < level
        found["concepts"][name] |= {
            "base": dict(zip(clusters.names, sizes.tolist(), strict=True)),
            "lacks": [clusters.names[c] for c in np.flatnonzero(rare)],
        }
    return found


def measured_counts(rows: list[dict[str, Any]], values: dict[str, list[str]]) -> dict[str, dict[str, int]]:
    """How often base images show each value, one added to each count so that none is 0: what ``appearances.measured`` takes.

    Variants are left out, because they show what was asked for. Axes that were not read are left out.
    """
    base = [row["read"] for row in rows if row["variant"] == BASE]
    counts = {axis: Counter(read[axis] for read in base if read[axis] is not None) for axis in values}
    return {axis: {value: counts[axis][value] + 1 for value in values[axis]} for axis in values if counts[axis]}


def next_run(measured: dict[str, dict[str, int]]) -> dict[str, Any]:
    """The part of a configuration of ``jobs/generate.py`` that asks more often for what was measured rarely."""
    return {"appearances": {"sampling": "weighted", "measured": measured}}


def _asked(rows: list[dict[str, Any]], values: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """Per axis the value that the cluster's variants were asked for most often, and its share."""
    described = {}
    for axis in values:
        counts = Counter(row["requested"][axis] for row in rows if row["requested"][axis] is not None)
        if counts:
            value, n = counts.most_common(1)[0]
            described[axis] = {"value": value, "share": n / counts.total()}
    return described
