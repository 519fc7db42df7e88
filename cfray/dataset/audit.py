"""What a data set holds: who was asked for, who is there, how varied it is, and whether concepts go with appearances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from cfray.dataset.schema import KEPT
from cfray.metrics import mutual_information, vendi_score

BASE = -1  # the ``variant`` of a base image's row


def readings_schema(axes: list[str]) -> pa.Schema:
    """One row is one image of a data set: what was asked for, what readers see, and its CLIP embedding.

    ``variant`` is the variant's place in its set, ``BASE`` for the base image, for which nothing was asked. ``status`` is
    the variant's, or the set's where that is not kept. ``read`` is null on axes that no reader reads.
    """
    appearance = pa.struct([(axis, pa.string()) for axis in axes])
    return pa.schema(
        [
            ("set_id", pa.string()), ("concept", pa.string()), ("variant", pa.int32()), ("status", pa.string()),
            ("requested", appearance), ("read", appearance), ("feature", pa.list_(pa.float32())),
        ]
    )  # fmt: skip


def audit_readings(readings: pa.Table, values: dict[str, list[str]], readers: dict[str, str | None]) -> dict[str, Any]:
    """The audit of a data set from the readings of its images.

    Args:
        readings: rows of ``readings_schema``.
        values: the values of every audited axis, in the order of the appearance file.
        readers: by what each axis was read, None where it was not.

    Returns:
        ``images`` counted; ``axes`` with, per axis, the reader, counts by value, ``agreement`` of requested and read, and
        ``information`` that the concept gives about the appearance in nats (``base``: the generator's own bias;
        ``kept_requested`` and ``kept_read``: must be near the floor); ``concepts`` with the same counts; and
        ``diversity``, Vendi scores of base images and kept variants. Ready for JSON.
    """
    rows = readings.select(["concept", "variant", "status", "requested", "read"]).to_pylist()
    features = np.asarray(readings["feature"].to_pylist(), np.float32)
    is_base = np.array([row["variant"] == BASE for row in rows], bool)
    is_kept = np.array([row["variant"] != BASE and row["status"] == KEPT for row in rows], bool)
    concepts = np.array([row["concept"] for row in rows])
    names = sorted(set(concepts.tolist()))
    base, painted, kept = _pick(rows, is_base), _pick(rows, ~is_base), _pick(rows, is_kept)
    return {
        "images": {"base": len(base), "variants": len(painted), "kept_variants": len(kept)},
        "axes": {axis: {"reader": readers[axis], **_axis(base, painted, kept, axis, values[axis])} for axis in values},
        "concepts": {
            name: {axis: _counts(_of(base, name), _of(kept, name), axis, values[axis]) for axis in values} for name in names
        },
        "diversity": {
            "base": _vendi(features[is_base]),
            "kept_variants": _vendi(features[is_kept]),
            "concepts": {
                name: {"base": _vendi(features[is_base & own]), "kept_variants": _vendi(features[is_kept & own])}
                for name in names
                for own in [concepts == name]
            },
        },
    }


def _axis(base: list[dict], painted: list[dict], kept: list[dict], axis: str, values: list[str]) -> dict[str, Any]:
    return {
        "counts": _counts(base, kept, axis, values),
        "agreement": {"painted": _agreement(painted, axis), "kept": _agreement(kept, axis)},
        "read_as": {
            value: _ordered(Counter(row["read"][axis] for row in kept if row["requested"][axis] == value), values)
            for value in values
        },
        "information": {
            "base": _information(base, "read", axis),
            "kept_requested": _information(kept, "requested", axis),
            "kept_read": _information(kept, "read", axis),
        },
    }


def _counts(base: list[dict], kept: list[dict], axis: str, values: list[str]) -> dict[str, dict[str, int]]:
    return {
        "base_read": _ordered(Counter(row["read"][axis] for row in base), values),
        "kept_requested": _ordered(Counter(row["requested"][axis] for row in kept), values),
        "kept_read": _ordered(Counter(row["read"][axis] for row in kept), values),
    }


def _ordered(counts: Counter, values: list[str]) -> dict[str, int]:
    return {value: counts[value] for value in values}


def _agreement(rows: list[dict], axis: str) -> dict[str, float] | None:
    """Shares of the rows read as asked and, where values are steps of a scale, at most one step off."""
    pairs = [(row["requested"][axis], row["read"][axis]) for row in rows if row["requested"][axis] and row["read"][axis]]
    if not pairs:
        return None
    shares = {"equal": float(np.mean([asked == read for asked, read in pairs]))}
    if all(asked.isdigit() and read.isdigit() for asked, read in pairs):
        shares["within_one"] = float(np.mean([abs(int(asked) - int(read)) <= 1 for asked, read in pairs]))
    return shares


def _information(rows: list[dict], column: str, axis: str) -> dict[str, float] | None:
    told = [(row["concept"], row[column][axis]) for row in rows if row[column][axis] is not None]
    return asdict(mutual_information(*zip(*told, strict=True))) if told else None


def _vendi(features: np.ndarray) -> float | None:
    return vendi_score(features) if len(features) else None


def _pick(rows: Sequence[dict], chosen: np.ndarray) -> list[dict]:
    return [row for row, take in zip(rows, chosen, strict=True) if take]


def _of(rows: list[dict], concept: str) -> list[dict]:
    return [row for row in rows if row["concept"] == concept]
