"""What the benchmarks print: one Markdown row per run, from the record of its evaluation."""

from __future__ import annotations

from typing import Any

from cfray.report import reduction_above_floor

ATTRIBUTES = {"gender": "gender", "skin_tone": "skin"}
METRICS = {"maxskew": "MaxSkew", "minskew": "MinSkew", "ndkl": "NDKL"}
ACCURACIES = {
    "zero_shot_things": "things",
    "zero_shot_professions": "professions",
    "recall@5_text_to_image": "R@5 t2i",
    "recall@5_image_to_text": "R@5 i2t",
    "recall@5_appearance": "R@5 appearance",
}


def point_at(evaluated: dict[str, Any], alpha: float) -> dict[str, Any]:
    """The measurements of an evaluation at ``alpha``."""
    return next(point for point in evaluated["result"]["alphas"] if point["alpha"] == alpha)


def reductions(evaluated: dict[str, Any], gallery: str, alpha: float) -> dict[str, float]:
    """Share of each metric's excess over its floor that is gone at ``alpha``, uniform target."""
    before, after = (point_at(evaluated, a)["fairness"][gallery] for a in (0, alpha))
    return {
        f"{name} {words}": reduction_above_floor(before[attribute][key]["uniform"], after[attribute][key]["uniform"])
        for attribute, words in ATTRIBUTES.items()
        for key in before[attribute]
        for family, name in METRICS.items()
        if key.startswith(f"{family}@")
    }


def accuracy_changes(evaluated: dict[str, Any], alpha: float) -> dict[str, float]:
    """Accuracy at ``alpha`` minus accuracy at 0, as fractions."""
    before, after = (point_at(evaluated, a)["accuracy"] for a in (0, alpha))
    return {words: after[key] - before[key] for key, words in ACCURACIES.items()}


def row(name: str, evaluated: dict[str, Any], gallery: str, alpha: float | None = None) -> dict[str, str]:
    """The cells of one run: alpha (the recommended one if None), reductions above the floor in percent, accuracy changes in
    points."""
    alpha = evaluated["result"]["recommended_alpha"] if alpha is None else alpha
    gone = reductions(evaluated, gallery, alpha)
    cells = {"run": name, "alpha": f"{alpha:g}"}
    cells |= {key: "-" if value is None else f"{100 * value:.0f} %" for key, value in gone.items()}
    return cells | {key: f"{100 * value:+.1f}" for key, value in accuracy_changes(evaluated, alpha).items()}


def markdown(rows: list[dict[str, str]]) -> str:
    """A Markdown table of rows with the same cells."""
    heads = list(rows[0])
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(cells[head] for head in heads) + " |" for cells in rows])
