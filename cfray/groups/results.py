"""What came out of all methods and seeds: fairness between groups of the test samples, and how much of the gap is closed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t

from cfray.metrics import classifier_fairness

METRICS = (
    "worst_cell_accuracy", "worst_group_accuracy", "accuracy", "balanced_accuracy", "accuracy_parity_gap",
    "equal_opportunity_gap", "equalised_odds_gap",
)  # fmt: skip


def summarise_runs(
    runs: Sequence[Mapping[str, Any]], labels: np.ndarray, groups: np.ndarray, names: Sequence[str], classes: Sequence[str],
    positive: int | None,
) -> dict[str, Any]:  # fmt: skip
    """Every method's metrics over its seeds: {method: {"metrics", "cells", "curves", "epochs"}}.

    ``balanced_accuracy`` is the mean accuracy over the cells. Metrics are given as mean with the 95 % interval of Student's t
    over seeds (null for one seed) and the value of each seed; cells as the mean accuracy over seeds and the samples.

    Args:
        runs: results of the training loop.
        labels: (n,) classes of the test samples.
        groups: (n,) ids of their groups.
        names: names of the groups.
        classes: names of the classes.
        positive: see ``classifier_fairness``.
    """
    methods: dict[str, Any] = {}
    for name in dict.fromkeys(run["method"] for run in runs):
        own = [run for run in runs if run["method"] == name]
        predictions = [np.array(run["predictions"]) for run in own]
        found = [classifier_fairness(each, labels, groups, positive=positive, n_groups=len(names)) for each in predictions]
        rows = [one.to_dict() | {"balanced_accuracy": float(np.nanmean(one.cell_accuracy))} for one in found]
        cells = np.mean([one.cell_accuracy for one in found], axis=0)
        methods[name] = {
            "metrics": {key: seed_interval([row[key] for row in rows]) for key in METRICS if rows[0][key] is not None},
            "cells": [
                {"class": classes[y], "group": names[g], "samples": int(((labels == y) & (groups == g)).sum()),
                 "accuracy": None if math.isnan(cells[y, g]) else float(cells[y, g])}
                for y in range(len(classes)) for g in range(len(names))
            ],
            "curves": {str(run["seed"]): [_plain(row) for row in run["curve"]] for run in own},
            "epochs": {str(run["seed"]): run["epoch"] for run in own},
        }  # fmt: skip
    return methods


def seed_interval(values: Sequence[float], confidence: float = 0.95) -> dict[str, Any]:
    """Mean over seeds and the interval of Student's t; the bounds are None for one seed."""
    mean, low, high = float(np.mean(values)), None, None
    if len(values) > 1:
        half = float(t.ppf((1 + confidence) / 2, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
        low, high = mean - half, mean + half
    return {"value": mean, "low": low, "high": high, "seeds": [float(value) for value in values]}


def gap_closed(methods: Mapping[str, Any], base: str, best: str, metric: str = "worst_cell_accuracy") -> dict[str, Any]:
    """How much of the gap between two methods every other one closes: (m - base) / (best - base), paired by seed.

    Returns:
        {method: share of the mean gap}; empty if ``best`` is not above ``base``.
    """
    low, high = (np.mean(methods[name]["metrics"][metric]["seeds"]) for name in (base, best))
    if high <= low:
        return {}
    return {
        name: float((np.mean(found["metrics"][metric]["seeds"]) - low) / (high - low))
        for name, found in methods.items()
        if name not in (base, best)
    }


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a curve without NaN, which JSON does not have."""
    return {
        key: [None if math.isnan(v) else v for v in value] if isinstance(value, list) else value for key, value in row.items()
    }
