"""What a result says in numbers: measures by name, before and after, and how far skew fell towards its random floor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

SCHEMA = 1

# A measured value with its 95 % bootstrap interval and the value of a random ranking: value, low, high, floor.
Measure = Mapping[str, float]


class MeasureKey(NamedTuple):
    """Where a measure stands in ``result["alphas"][i]["fairness"]``; ``metric`` is for example ``maxskew@100``."""

    benchmark: str
    attribute: str
    metric: str
    target: str

    @property
    def family(self) -> str:
        """The metric without its k: ``maxskew``, ``minskew`` or ``ndkl``."""
        return self.metric.partition("@")[0]


def reduction_above_floor(before: Measure, after: Measure) -> float | None:
    """How much of the skew that a random ranking does not have is gone.

    ``1 - (|after.value| - |after.floor|) / (|before.value| - |before.floor|)``. The absolute values make one formula of
    MaxSkew and NDKL, which are never negative, and MinSkew, which is never positive.

    Args:
        before: ``value`` and ``floor`` of the model to improve on.
        after: the same metric of the model compared with it.

    Returns:
        1 if ``after`` is at its floor, 0 if nothing changed, above 1 if it is below its floor, negative if skew grew; None
        if ``before`` is not above its floor, where there is nothing to reduce.
    """
    excess = abs(before["value"]) - abs(before["floor"])
    if excess <= 0:
        return None
    return 1 - (abs(after["value"]) - abs(after["floor"])) / excess


def magnitude(measure: Measure) -> dict[str, float]:
    """The measure with every number made absolute, so that less is fairer for MinSkew as for the others."""
    ends = sorted((abs(measure["low"]), abs(measure["high"])))
    return {"value": abs(measure["value"]), "low": ends[0], "high": ends[1], "floor": abs(measure["floor"])}


def rows_by_alpha(result: Mapping) -> list[dict]:
    """The rows of ``result["alphas"]`` in the order of α.

    Raises:
        ValueError: if the schema is another one, or there is no row at α = 0 or at the recommended α.
    """
    if result.get("schema") != SCHEMA:
        raise ValueError(f"result has schema={result.get('schema')!r}; this version of cfray reads schema {SCHEMA}")
    rows = sorted(result["alphas"], key=lambda row: row["alpha"])
    _row_at(rows, 0.0, "the original model")
    _row_at(rows, result["recommended_alpha"], "recommended_alpha")
    return rows


def before_and_after(result: Mapping) -> tuple[dict, dict]:
    """The row at α = 0 and the row at the recommended α; raises as :func:`rows_by_alpha` does."""
    rows = rows_by_alpha(result)
    return _row_at(rows, 0.0, "the original model"), _row_at(rows, result["recommended_alpha"], "recommended_alpha")


def measure_keys(row: Mapping) -> list[MeasureKey]:
    """Every measure of one row of ``result["alphas"]``, in the order of the file; counts of groups are no measures."""
    return [
        MeasureKey(benchmark, attribute, metric, target)
        for benchmark, attributes in row["fairness"].items()
        for attribute, metrics in attributes.items()
        for metric, targets in metrics.items()
        if "@" in metric
        for target in targets
    ]


def measure_at(row: Mapping, key: MeasureKey) -> Measure:
    """The measure that ``key`` names in one row of ``result["alphas"]``."""
    return row["fairness"][key.benchmark][key.attribute][key.metric][key.target]


def names_appearance(accuracy: str) -> bool:
    """Whether an accuracy is measured on captions that name the person's appearance, which the method works against: such a
    loss is the price of the change and stands outside the loss that the choice of α accepts."""
    return "appearance" in accuracy


def _row_at(rows: list[dict], alpha: float, what: str) -> dict:
    for row in rows:
        if math.isclose(row["alpha"], alpha, abs_tol=1e-9):
            return row
    known = ", ".join(f"{row['alpha']:g}" for row in rows)
    raise ValueError(f"{what}: alpha={alpha:g} is not among the alphas of the result ({known}); evaluate it too")
