"""Percentile bootstrap intervals of means and of paired differences."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cfray.metrics.ranking import as_array


@dataclass(frozen=True)
class Interval:
    """A value and the bounds of its interval; the bounds are None where no resample was drawn."""

    value: float
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, float | None]:
        return asdict(self)


def percentile_bounds(resamples: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """The central ``confidence`` of resamples (B, ...) along their first axis: low (...) and high (...).

    Raises:
        ValueError: if confidence is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence} is not between 0 and 1; give 0.95 for 95 %")
    low, high = np.quantile(resamples, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return low, high


def bootstrap_interval(values: Any, *, n_bootstrap: int = 1000, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Percentile bootstrap interval of a mean.

    Args:
        values: (n,) one number per independent unit, for example hit or miss per image.
        n_bootstrap: how many times n units are drawn with replacement, at least 1.
        confidence: share of the resampled means inside the interval.
        seed: equal seeds draw equal units.

    Raises:
        ValueError: if there is no value, a value is NaN, or ``n_bootstrap`` or ``confidence`` is out of range.

    References:
        Efron 1979, Bootstrap Methods: Another Look at the Jackknife.
    """
    values = as_array(values).astype(np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"values have shape {values.shape}; give one number per unit")
    if np.isnan(values).any():
        raise ValueError(f"{np.isnan(values).sum()} of {values.size} values are NaN; leave them out and say so")
    if n_bootstrap < 1:
        raise ValueError(f"n_bootstrap={n_bootstrap} is below 1; draw at least 1")
    rng = np.random.default_rng(seed)
    means = np.array([values[rng.integers(values.size, size=values.size)].mean() for _ in range(n_bootstrap)])
    low, high = percentile_bounds(means, confidence)
    return Interval(float(values.mean()), float(low), float(high))


def paired_bootstrap_interval(
    first: Any, second: Any, *, n_bootstrap: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Interval of mean(second) - mean(first), two models measured on the same units (n,).

    Pairing removes the spread between units that both models share. An interval without 0 is a difference.

    Raises:
        ValueError: as ``bootstrap_interval``, or if the lengths differ.
    """
    first, second = as_array(first).astype(np.float64), as_array(second).astype(np.float64)
    if first.shape != second.shape:
        raise ValueError(f"first has shape {first.shape} and second {second.shape}; pair them unit by unit")
    return bootstrap_interval(second - first, n_bootstrap=n_bootstrap, confidence=confidence, seed=seed)
