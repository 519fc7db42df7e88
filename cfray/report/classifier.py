"""The page and the text of a classifier's fairness: methods, cells of class and group, learning curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cfray.report.page import _data
from cfray.report.svg import Scale, chart, decimals, frame, path, spread, text, ticks
from cfray.report.words import number, percent, plain

_COLOURS = ("#55606d", "#0072b2", "#2b9fd0", "#7a5195", "#b35a00", "#b0457f", "#00805c", "#6b6b00")
METRICS = {
    "worst_cell_accuracy": "worst-group accuracy (class × group)", "worst_group_accuracy": "worst accuracy of a group",
    "accuracy": "mean accuracy", "balanced_accuracy": "mean over cells", "accuracy_parity_gap": "accuracy parity gap",
    "equal_opportunity_gap": "equal opportunity gap", "equalised_odds_gap": "equalised odds gap",
}  # fmt: skip


def as_text(result: Mapping[str, Any]) -> str:
    """One line a method: worst-group accuracy, mean accuracy and equalised odds with their intervals."""
    lines = [f"{result['test_samples']} test samples, measured by {result['measured_by']}"]
    shown = ("worst_cell_accuracy", "accuracy", "equalised_odds_gap")
    shares = (result["gap_closed"] or {}).get("shares", {})
    for name, method in result["methods"].items():
        cells = [f"{METRICS[key]} {interval(method['metrics'][key])}" for key in shown if key in method["metrics"]]
        closed = f"; closes {percent(shares[name], 0)} of the gap" if name in shares else ""
        lines.append(f"  {name}: {'; '.join(cells)}{closed}")
    return "\n".join(lines)


def interval(measure: Mapping[str, Any]) -> str:
    """``81.2 % (79.0 to 83.4)``, in percent; without bounds for one seed."""
    bounds = "" if measure["low"] is None else f" ({number(100 * measure['low'], 1)} to {number(100 * measure['high'], 1)})"
    return percent(measure["value"]) + bounds


def render_classifier(result: Mapping[str, Any]) -> str:
    """A self-contained HTML page of the result of ``cfray.groups.job.classify``; every string is escaped."""
    loader = PackageLoader("cfray.report", "data")
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    first = next(iter(result["methods"].values()))
    return templates.get_template("classifier.html.j2").render(
        title="A classifier and groups without labels", style=Markup(_data("page.css")), result=result, interval=interval,
        percent=percent, number=number, plain=plain, first=first,
        metrics={key: words for key, words in METRICS.items() if key in first["metrics"]},
        curves=[learning_curves(result, "accuracy"), learning_curves(result, "selection_loss")],
    )  # fmt: skip


def learning_curves(result: Mapping[str, Any], key: str) -> Markup:
    """Accuracy, or the loss that selects the epoch, on the validation samples: mean over seeds, one line a method."""
    lines = {
        name: np.mean([[row[key] for row in curve] for curve in method["curves"].values()], axis=0)
        for name, method in result["methods"].items()
    }
    factor = 100 if key == "accuracy" else 1
    marks = ticks(factor * min(map(min, lines.values())), factor * max(map(max, lines.values())), 5)
    epochs = max(map(len, lines.values()))
    x_marks = ticks(1, max(epochs, 2), 6)
    x, y = Scale(1, max(epochs, 2), 52, 420), Scale(marks[0], marks[-1], 256, 44)
    title = "Validation accuracy (%)" if key == "accuracy" else "Validation loss that selects the epoch"
    inside = [mark for mark in x_marks if 1 <= mark <= epochs]
    parts = frame(x, y, inside, marks, "epoch", title, "{:g}".format, lambda v: number(v, decimals(marks)))
    ends = spread([y(factor * line[-1]) for line in lines.values()], 16, 50, 256)
    for i, ((name, line), end) in enumerate(zip(lines.items(), ends, strict=True)):
        colour = _COLOURS[i % len(_COLOURS)]
        points = [(x(epoch), y(factor * value)) for epoch, value in enumerate(line, start=1)]
        if len(points) > 1:
            parts.append(path(points, "series", stroke=colour))
        parts.append(text(x.end + 10, end + 4, name, "label-series", style=f"fill:{colour}"))
    return chart(600, 306, f"{title} over epochs", parts)
