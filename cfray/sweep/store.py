"""The results of a sweep: a folder of Parquet files, one row each, written whole or not at all, locally or on S3.

Whatever reads Parquet reads ``rows/`` while the sweep runs and after any crash. ``plan/`` names the trials that were begun,
so that those a crash cut off are not forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from cfray import storage
from cfray.dataset.store import read_table, write_table
from cfray.sweep.objectives import SCORES

MEASURED, FAILED, STOPPED = "measured", "failed", "stopped"
SCHEMA = pa.schema(
    [
        ("trial", pa.string()), ("alpha", pa.float64()), ("status", pa.string()), ("reason", pa.string()),
        ("parameters", pa.string()), *((name, pa.float64()) for name in SCORES), ("point", pa.string()),
        ("train_seconds", pa.float64()), ("evaluate_seconds", pa.float64()),
    ]
)  # fmt: skip


class Store:
    """The rows of the sweep at ``place``.

    A row is one (trial, alpha) with status ``measured``: its scores, and as JSON the trial's ``parameters`` and the whole
    ``point``. A trial that ended otherwise has one row without alpha, ``failed`` or ``stopped``, and the ``reason``.
    """

    def __init__(self, place: str):
        self._rows, self._plan = storage.join(place, "rows"), storage.join(place, "plan")
        self._base = storage.join(place, "base.json")

    def begin(self, trial: str, parameters: Mapping[str, Any]) -> None:
        """Note that a trial was begun."""
        storage.write_bytes(storage.join(self._plan, f"{trial}.json"), json.dumps(dict(parameters)).encode())

    def begun(self) -> dict[str, dict[str, Any]]:
        """Parameters of every trial that was ever begun, by its name."""
        files = storage.list_files(self._plan, ".json")
        return {file.rpartition("/")[2].removesuffix(".json"): json.loads(storage.read_bytes(file)) for file in files}

    def write_point(
        self, trial: str, parameters: Mapping[str, Any], point: Mapping[str, Any], scores: Mapping[str, float],
        train_seconds: float, evaluate_seconds: float,
    ) -> None:  # fmt: skip
        """Write the row of one alpha of a trial."""
        row = {
            "trial": trial, "alpha": point["alpha"], "status": MEASURED, "parameters": json.dumps(dict(parameters)),
            "point": json.dumps(dict(point)), "train_seconds": train_seconds, "evaluate_seconds": evaluate_seconds, **scores,
        }  # fmt: skip
        self._write(f"{trial}-{point['alpha']:.4f}", row)

    def write_end(self, trial: str, parameters: Mapping[str, Any], status: Literal["failed", "stopped"], reason: str) -> None:
        """Write the row of a trial that has no alphas to measure."""
        row = {"trial": trial, "status": status, "reason": reason, "parameters": json.dumps(dict(parameters))}
        self._write(f"{trial}-{status}", row)

    def base(self) -> dict[str, Any] | None:
        """The point of alpha 0, which all trials share; None before it was measured."""
        return json.loads(storage.read_bytes(self._base)) if storage.exists(self._base) else None

    def write_base(self, point: Mapping[str, Any]) -> None:
        storage.write_bytes(self._base, json.dumps(dict(point)).encode())

    def rows(self) -> pd.DataFrame:
        """All rows, ordered by trial and alpha, with the columns of ``SCHEMA``; JSON columns are read into objects."""
        tables = [read_table(file) for file in storage.list_files(self._rows, ".parquet")]
        frame = pa.concat_tables([SCHEMA.empty_table(), *tables]).to_pandas()
        for column in ("parameters", "point"):
            frame[column] = [json.loads(text) if isinstance(text, str) else None for text in frame[column]]
        return frame.sort_values(["trial", "alpha"], ignore_index=True)

    def _write(self, name: str, row: Mapping[str, Any]) -> None:
        write_table(storage.join(self._rows, f"{name}.parquet"), pa.Table.from_pylist([dict(row)], schema=SCHEMA))


def ended_trials(rows: pd.DataFrame, alphas: Sequence[float]) -> set[str]:
    """Names of trials that need no more work: all alphas are measured, or the trial failed or was stopped."""
    ended = set()
    for trial, of_trial in rows.groupby("trial"):
        if (of_trial["status"] != MEASURED).any() or set(alphas) <= set(of_trial["alpha"]):
            ended.add(trial)
    return ended
