"""What the rows of a sweep say: counts, the front, the knee, the chosen model, what parameters matter, the overhead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cfray.sweep.config import SweepConfig
from cfray.sweep.front import choose, hypervolume, knee_point, pareto_front
from cfray.sweep.objectives import SCORES, WORST_LOSS, summarise_trial
from cfray.sweep.searchers import require_optuna, study_of
from cfray.sweep.store import FAILED, MEASURED, STOPPED

FAIRNESS, ACCURACY = "maxskew_above_floor", "accuracy_lost"
# Fewer trials say nothing about parameters.
_TRIALS_FOR_IMPORTANCE = 4


def conclude(config: SweepConfig, rows: pd.DataFrame) -> dict[str, Any]:
    """The result of a sweep from its rows.

    ``front`` lists the (trial, alpha) that no other beats in both ``maxskew_above_floor`` and ``accuracy_lost``; alpha 0, which
    all trials share, is in it once. ``hypervolume`` is of that front below (skew of alpha 0, ``WORST_LOSS``), in nats times
    fraction; ``hypervolume_of_3`` adds NDKL below that of alpha 0. ``chosen`` keeps the constraint with the least skew,
    ``knee`` is the front's. ``importance`` is {objective: {parameter: share}}.
    """
    counts = {status: int(rows.loc[rows["status"] == status, "trial"].nunique()) for status in (MEASURED, FAILED, STOPPED)}
    reasons = rows.loc[rows["status"] != MEASURED, ["trial", "status", "reason"]].to_dict("records")
    points = distinct_points(rows)
    result: dict[str, Any] = {"trials": counts, "ended_otherwise": reasons, "points": len(points), "chosen": None, "knee": None}
    if points.empty:
        return result | {"front": [], "hypervolume": 0.0, "hypervolume_of_3": 0.0, "importance": {}}
    pairs = points[[FAIRNESS, ACCURACY]].to_numpy()
    front = points[pareto_front(pairs)].sort_values(ACCURACY)
    chosen = choose(points[FAIRNESS], points[ACCURACY], config.constraint.max_lost)
    base = points[points["alpha"] == 0].iloc[0] if (points["alpha"] == 0).any() else points.iloc[0]
    reference = np.array([base[FAIRNESS], WORST_LOSS, base["ndkl"]])
    return result | {
        "base": {name: float(base[name]) for name in SCORES},
        "front": [_describe(config, row) for _, row in front.iterrows()],
        "hypervolume": hypervolume(pairs, reference[:2]),
        "hypervolume_of_3": hypervolume(points[[FAIRNESS, ACCURACY, "ndkl"]].to_numpy(), reference),
        "chosen": None if chosen is None else _describe(config, points.iloc[chosen]),
        "knee": _describe(config, points.iloc[knee_point(pairs)]),
        "importance": importance(config, rows),
    }


def distinct_points(rows: pd.DataFrame) -> pd.DataFrame:
    """The measured rows with alpha 0 of one trial only: it is the same model in all of them."""
    measured = rows[rows["status"] == MEASURED]
    again = (measured["alpha"] == 0) & measured["alpha"].duplicated()
    return measured[~again].reset_index(drop=True)


def trial_results(config: SweepConfig, rows: pd.DataFrame) -> dict[str, tuple[dict[str, Any], dict[str, float] | None]]:
    """Parameters and what Tune was told of every trial with a row, by its name; None for one that failed or was stopped."""
    found = {}
    for trial, of_trial in rows.groupby("trial"):
        ended = (of_trial["status"] == MEASURED).all()
        scores = of_trial[list(SCORES)].to_dict("records")
        found[trial] = (of_trial["parameters"].iloc[0], summarise_trial(scores, config.constraint) if ended else None)
    return found


def importance(config: SweepConfig, rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The share of an objective's variance among trials that each parameter explains, by fANOVA (Hutter et al. 2014).

    The objectives are those of ``summarise_trial``. Empty for fewer than four trials, and without an objective that varies.
    """
    results = [(parameters, result) for parameters, result in trial_results(config, rows).values() if result is not None]
    if len(results) < _TRIALS_FOR_IMPORTANCE:
        return {}
    optuna = require_optuna()
    found = {}
    for objective in (FAIRNESS, ACCURACY, "ndkl", "hypervolume"):
        values = [result[objective] for _, result in results]
        if np.ptp(values) > 0:
            study = study_of(config.space, [(parameters, result[objective]) for parameters, result in results])
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
            shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
            found[objective] = {key: float(share) for key, share in shares.items()}
    return found


def overhead(before: pd.DataFrame, after: pd.DataFrame, wall_seconds: float, in_flight: int) -> dict[str, float]:
    """How much longer this run took than its trials' own work on as many slots as were used.

    ``ratio`` = wall time x trials in flight / sum over trials of the seconds that they trained and evaluated. Loading models
    and data, starting processes, reading and writing results and idle slots at the end are all in the wall time alone. NaN
    if this run measured nothing.
    """
    key = ["trial", "alpha"]
    new = after[(after["status"] == MEASURED) & ~after.set_index(key).index.isin(before.set_index(key).index)]
    started = new[~new["trial"].isin(before["trial"])].drop_duplicates("trial")
    own = float(new["evaluate_seconds"].sum() + started["train_seconds"].sum())
    slots = min(in_flight, max(1, new["trial"].nunique()))
    ratio = wall_seconds * slots / own if own else float("nan")
    return {"ratio": ratio, "wall_seconds": wall_seconds, "own_seconds": own, "in_flight": slots}


def export_command(config: SweepConfig, trial: str, alpha: float) -> str:
    """The command that writes the checkpoint of a point of this sweep."""
    output = f"{config.output}/exported/{trial}-{alpha:g}"
    return f"python jobs/sweep.py export sweep={config.output} trial={trial} alpha={alpha:g} output={output}"


def _describe(config: SweepConfig, row: pd.Series) -> dict[str, Any]:
    return {
        "trial": row["trial"], "alpha": float(row["alpha"]), "parameters": row["parameters"],
        **{name: float(row[name]) for name in SCORES}, "accuracy": row["point"]["accuracy"],
        "export": export_command(config, row["trial"], row["alpha"]),
    }  # fmt: skip
