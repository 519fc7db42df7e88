"""A data set on disk or S3: a plan, the finished parts, and what is still missing between them."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from cfray import s3, storage
from cfray.dataset.schema import KEPT
from cfray.errors import UserError

PLAN = "plan.parquet"
PARTS = "parts"


def read_table(place: str, columns: list[str] | None = None) -> pa.Table:
    """Read one Parquet file."""
    filesystem, path = storage.resolve(place)
    return s3.retrying(lambda: pq.read_table(path, filesystem=filesystem, columns=columns))


def write_table(place: str, table: pa.Table) -> None:
    """Write one Parquet file, whole or not at all."""
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd")
    storage.write_bytes(place, stream.getvalue())


def write_part(dataset: str, table: pa.Table) -> None:
    """Write finished sets as a part whose name follows from their ids, so that writing it twice is writing it once."""
    ids = hashlib.sha256("".join(table["set_id"].to_pylist()).encode()).hexdigest()[:16]
    write_table(storage.join(dataset, PARTS, f"{ids}.parquet"), table)


def finished_ids(dataset: str) -> list[str]:
    """Ids of all sets in finished parts, one for each time a set is there."""
    return [
        set_id
        for part in storage.list_files(storage.join(dataset, PARTS), ".parquet")
        for set_id in read_table(part, ["set_id"])["set_id"].to_pylist()
    ]


def missing_rows(dataset: str) -> pa.Table:
    """The anti-join of plan and parts: the planned rows that no part holds yet."""
    plan = read_table(storage.join(dataset, PLAN))
    done = set(finished_ids(dataset))
    return plan.filter(pa.array([set_id not in done for set_id in plan["set_id"].to_pylist()], pa.bool_()))


def read_sets(dataset: str, *, status: str | None = KEPT) -> pa.Table:
    """All sets of a data set in the order of their ids; ``status`` None reads rejected and failed ones as well.

    Raises:
        UserError: if there is no data set at the place, or no set of that status in it.
    """
    parts = [read_table(part) for part in storage.list_files(storage.join(dataset, PARTS), ".parquet")]
    if not parts:
        raise UserError(f"no data set at {dataset!r}; run jobs/generate.py with output={dataset}")
    table = pa.concat_tables(parts).sort_by("set_id")
    if status is not None:
        table = table.filter(pa.compute.equal(table["status"], status))
        if not table.num_rows:
            raise UserError(f"data set {dataset!r} has no set with status {status!r}; look at its record.json for the reasons")
    return table


@dataclass
class SetCounts:
    """What became of the planned sets; ``rejected`` and ``failed`` are by reason."""

    planned: int
    kept: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    variants: dict[str, int] = field(default_factory=dict)


def count_sets(dataset: str) -> SetCounts:
    """Count the sets of a data set by status and reason, and the variants of its sets by status."""
    counts = SetCounts(planned=read_table(storage.join(dataset, PLAN), ["set_id"]).num_rows)
    statuses, variants = Counter(), Counter()
    for part in storage.list_files(storage.join(dataset, PARTS), ".parquet"):
        for row in read_table(part, ["status", "variants"]).to_pylist():
            statuses[row["status"]] += 1
            variants.update(variant["status"] for variant in row["variants"] if variant["status"])
    counts.kept = statuses.pop(KEPT, 0)
    for status, n in sorted(statuses.items()):
        kind, _, reason = status.partition(":")
        (counts.rejected if kind == "rejected" else counts.failed)[reason] = n
    counts.variants = dict(sorted(variants.items()))
    return counts
