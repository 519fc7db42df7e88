"""A store of a made-up sweep: six trials at alpha 0 and 1, one that failed."""

from __future__ import annotations

from typing import Any

from cfray.sweep.config import ConstraintConfig
from cfray.sweep.objectives import score
from cfray.sweep.store import Store


def make_point(alpha: float, skew: float, accuracy: float) -> dict[str, Any]:
    """What an evaluation finds: MaxSkew with a floor of 0.1 and one accuracy."""
    row = {"uniform": {"value": skew, "low": skew, "high": skew, "floor": 0.1}}
    summary = {"maxskew@10": row, "ndkl@10": row}
    return {
        "alpha": alpha,
        "fairness": {"portraits": {"gender": summary, "skin_tone": summary}},
        "accuracy": {"zero_shot_things": accuracy, "recall@5_appearance": accuracy / 2},
        "able": {"portraits": {"gender": {"able@10": accuracy}, "skin_tone": {"able@10": accuracy - 0.2}}},
    }


def fill_store(store: Store, *, trials: int = 6, half: bool = False) -> None:
    """Write the first ``trials``; ``half`` leaves out their last alpha."""
    base, constraint = make_point(0.0, 0.9, 0.8), ConstraintConfig()
    every = [(rate, beta) for rate in (1e-4, 1e-3) for beta in (1.0, 4.0, 16.0)]
    for number, (rate, beta) in enumerate(every[:trials]):
        trial, parameters = f"trial{number}", {"learning_rate": rate, "loss.beta_cf": beta}
        store.begin(trial, parameters)
        points = [base, make_point(1.0, 0.8 - 0.1 * number, 0.8 - 0.002 * number**2)]
        for point in points[: 1 if half else 2]:
            store.write_point(trial, parameters, point, score(point, base, constraint), 30.0, 5.0)
    if trials == len(every):
        store.write_end("trial6", {"learning_rate": 1e-4, "loss.beta_cf": 16.0}, "failed", "OutOfMemoryError: 2 GiB")
