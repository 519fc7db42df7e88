"""The table of all alphas, as plain cells for the page: one table per benchmark and target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cfray.report.summary import measure_at, measure_keys
from cfray.report.words import accuracy_label, metric_label, number, plain


class Cell(NamedTuple):
    """A value and, for fairness metrics, its interval."""

    value: str
    interval: str = ""


class AlphaRow(NamedTuple):
    """One α; ``recommended`` marks the row to look at."""

    alpha: str
    recommended: bool
    cells: list[Cell]


class AlphaTable(NamedTuple):
    """``groups`` are the spanning headings with their width, ``floors`` the random floor under each column."""

    groups: list[tuple[str, int]]
    headings: list[str]
    rows: list[AlphaRow]
    floors: list[str]


def alpha_table(rows: Sequence[Mapping], benchmark: str, target: str, recommended: float) -> AlphaTable:
    """Every α with every metric of one benchmark against one target, and every accuracy."""
    keys = [key for key in measure_keys(rows[0]) if (key.benchmark, key.target) == (benchmark, target)]
    accuracies = list(rows[0]["accuracy"])
    groups = [(f"{plain(a)} (nats)", sum(key.attribute == a for key in keys)) for a in dict.fromkeys(k.attribute for k in keys)]
    groups.append(("accuracy (%)", len(accuracies)))
    return AlphaTable(
        groups,
        [metric_label(key.metric) for key in keys] + [accuracy_label(name) for name in accuracies],
        [
            AlphaRow(
                f"{row['alpha']:g}",
                math.isclose(row["alpha"], recommended, abs_tol=1e-9),
                [_cell(measure_at(row, key)) for key in keys]
                + [Cell(number(100 * row["accuracy"][name], 1)) for name in accuracies],
            )
            for row in rows
        ],
        [number(measure_at(rows[0], key)["floor"]) for key in keys] + [""] * len(accuracies),
    )


def _cell(measure: Mapping[str, float]) -> Cell:
    return Cell(number(measure["value"]), f"{number(measure['low'])} to {number(measure['high'])}")
