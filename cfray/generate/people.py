"""Which people a set asks for: draws over appearance axes, balanced within a set or over the sets of a concept."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np

from cfray.concepts.appearance import Appearances
from cfray.errors import UserError
from cfray.generate.config import AppearancesConfig

Person = dict[str, str]


def sample_people(appearances: Appearances, config: AppearancesConfig, index: int, rng: np.random.Generator) -> list[Person]:
    """The people of set ``index`` of a concept, as ``config.sampling`` says; see ``AppearancesConfig``."""
    axes, count = config.vary, config.variants
    if config.sampling == "grid":
        return grid(appearances, axes)
    if config.sampling == "latin":
        return latin_square(appearances, axes, count, index)
    if config.sampling == "weighted":
        return weighted(appearances, axes, count, config.measured or {}, rng)
    return balanced_attributes(appearances, axes, count, rng)


def require_sampling(appearances: Appearances, config: AppearancesConfig) -> None:
    """Refuse a draw that cannot be made.

    Raises:
        UserError: for an axis that is not in the file, a grid that ``variants`` does not fill, or counts that do not name
            the values of a varied axis.
    """
    unknown = [axis for axis in config.vary if axis not in appearances.axes]
    if unknown:
        raise UserError(f"appearances.vary has {unknown[0]!r}, not in {appearances.name!r}: {', '.join(appearances.axes)}")
    size = prod(len(appearances.axes[axis].values) for axis in config.vary)
    if config.sampling == "grid" and config.variants != size:
        raise UserError(f"appearances.variants={config.variants}, but the grid of {', '.join(config.vary)} needs {size}")
    if (config.sampling == "weighted") != (config.measured is not None):
        raise UserError("appearances.sampling=weighted and appearances.measured go together; give both or neither")
    for axis, counts in (config.measured or {}).items():
        values = list(appearances.axes[axis].values) if axis in config.vary else []
        if sorted(counts) != sorted(values) or min(counts.values()) <= 0:
            raise UserError(
                f"appearances.measured.{axis} must give a count above 0 for each of: {', '.join(values) or '(not varied)'}"
            )


def grid(appearances: Appearances, axes: list[str]) -> list[Person]:
    """All combinations of the axes' values."""
    return [dict(zip(axes, values, strict=True)) for values in product(*(appearances.axes[axis].values for axis in axes))]


def latin_square(appearances: Appearances, axes: list[str], count: int, index: int) -> list[Person]:
    """Row ``index`` of a Latin square: variant j has value j of the first axis, and j + i·index of axis i, cyclically.

    With ``count`` a multiple of the first axis's size n_0, every value of it comes up equally often in each set, and every
    pair with a value of axis 1 equally often over n_1 sets in a row.
    """
    values = {axis: list(appearances.axes[axis].values) for axis in axes}
    return [
        {axis: values[axis][(j + i * (index + j // len(values[axes[0]]))) % len(values[axis])] for i, axis in enumerate(axes)}
        for j in range(count)
    ]


def weighted(
    appearances: Appearances, axes: list[str], count: int, measured: dict[str, dict[str, float]], rng: np.random.Generator
) -> list[Person]:
    """People drawn with weights 1 / measured count, so that what was seen rarely is asked for often.

    Drawn systematically, as ``balanced_attributes`` does: a value's number is within one of its expectation. Axes without
    counts have equal weights.
    """
    columns = {}
    for axis in axes:
        values = list(appearances.axes[axis].values)
        counts = measured.get(axis)
        weights = np.array([1 / counts[value] for value in values]) if counts else np.ones(len(values))
        ends = np.cumsum(weights / weights.sum())
        points = (np.arange(count) + rng.random()) / count
        drawn = np.minimum(np.searchsorted(ends, points, side="right"), len(values) - 1)
        columns[axis] = [values[i] for i in rng.permutation(drawn)]
    return [{axis: columns[axis][i] for axis in axes} for i in range(count)]


def balanced_attributes(appearances: Appearances, axes: list[str], count: int, rng: np.random.Generator) -> list[Person]:
    """Attributes of ``count`` people, each axis balanced within the set.

    Each axis is sampled systematically (values spread evenly over the axis from a random start), then shuffled on its
    own, so that no value of an axis is asked for more than once more than another and axes do not go together.
    """
    columns = {}
    for axis in axes:
        values = list(appearances.axes[axis].values)
        drawn = np.floor((np.arange(count) + rng.random()) * len(values) / count).astype(int) % len(values)
        columns[axis] = [values[i] for i in rng.permutation(drawn)]
    return [{axis: columns[axis][i] for axis in axes} for i in range(count)]
