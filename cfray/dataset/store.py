"""A data set on disk or S3: a plan, the finished parts, and what is still missing between them."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from cfray import s3, storage
from cfray.dataset.schema import KEPT, huggingface_metadata
from cfray.errors import UserError

PLAN = "plan.parquet"
PARTS = "parts"
FAILED = "failed:"


def read_table(place: str, columns: list[str] | None = None) -> pa.Table:
    """Read one Parquet file; a column may be a part of one, such as ``variants.list.element.status``."""
    filesystem, path = storage.resolve(place)
    # Not pq.read_table, whose reader of data sets knows no parts of lists.
    return s3.retrying(lambda: pq.ParquetFile(path, filesystem=filesystem, pre_buffer=True).read(columns=columns))


def write_table(place: str, table: pa.Table) -> None:
    """Write one Parquet file, whole or not at all."""
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd")
    storage.write_bytes(place, stream.getvalue())


def write_part(dataset: str, table: pa.Table) -> None:
    """Write finished sets as a part whose name follows from their ids, so that writing it twice is writing it once."""
    ids = hashlib.sha256("".join(table["set_id"].to_pylist()).encode()).hexdigest()[:16]
    table = table.replace_schema_metadata(huggingface_metadata(table.schema))
    write_table(storage.join(dataset, PARTS, f"{ids}.parquet"), table)


class PartWriter:
    """Writes each batch as a part and passes on only the ids and statuses; a callable for ``Dataset.map_batches``.

    Ray may run a batch again after a lost worker, and batch it otherwise; sets that a part already holds are left out.
    """

    def __init__(self, dataset: str):
        self.dataset = dataset
        self.written = set(finished_ids(dataset))

    def __call__(self, table: pa.Table) -> pa.Table:
        new = table.filter(pa.array([set_id not in self.written for set_id in table["set_id"].to_pylist()], pa.bool_()))
        if new.num_rows:
            write_part(self.dataset, new)
            self.written.update(new["set_id"].to_pylist())
        return table.select(["set_id", "status"])


def finished_ids(dataset: str) -> list[str]:
    """Ids of all sets in finished parts, one for each time a set is there."""
    return [row["set_id"] for _, table in _parts(dataset, ["set_id"]) for row in table.to_pylist()]


def missing_rows(dataset: str) -> pa.Table:
    """The anti-join of plan and parts: the planned rows that no part holds yet."""
    plan = read_table(storage.join(dataset, PLAN))
    done = set(finished_ids(dataset))
    return plan.filter(pa.array([set_id not in done for set_id in plan["set_id"].to_pylist()], pa.bool_()))


def read_sets(dataset: str, *, status: str | None = KEPT, columns: list[str] | None = None) -> pa.Table:
    """All sets of a data set in the order of their ids; ``status`` None reads rejected and failed ones as well.

    ``columns`` are set_id, status and what else is wanted, None for all: the pictures are most of a data set.

    Raises:
        UserError: if there is no data set at the place, or no set of that status in it.
    """
    parts = [read_table(part, columns) for part in storage.list_files(storage.join(dataset, PARTS), ".parquet")]
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
    for _, table in _parts(dataset, ["status", "variants.list.element.status"]):
        for row in table.to_pylist():
            statuses[row["status"]] += 1
            variants.update(variant["status"] for variant in row["variants"] if variant["status"])
    counts.kept = statuses.pop(KEPT, 0)
    for status, n in sorted(statuses.items()):
        kind, _, reason = status.partition(":")
        (counts.rejected if kind == "rejected" else counts.failed)[reason] = n
    counts.variants = dict(sorted(variants.items()))
    return counts


def models_used(dataset: str) -> dict[str, tuple[str, str | None]]:
    """(id, revision) of the models that touched the sets, by role."""
    used: dict[str, tuple[str, str | None]] = {}
    for _, table in _parts(dataset, ["models"]):
        for row in table.to_pylist():
            used |= {role: (model["id"], model["revision"]) for role, model in (row["models"] or {}).items() if model}
    return used


def first_error(dataset: str) -> str:
    """The status and error of the first set that was not kept, failed ones before rejected ones."""
    rows = [row for _, table in _parts(dataset, ["set_id", "status", "error"]) for row in table.to_pylist()]
    row = min(rows, key=lambda row: (not row["status"].startswith(FAILED), row["set_id"]))
    return f"{row['set_id']} {row['status']}, {row['error']}"


def withdraw_failed(dataset: str) -> int:
    """Take failed sets out of the parts, so that they are missing again, and return how many they were.

    The plan keeps count of their attempts. It is written before the parts, and each part is replaced as a whole under its
    own name, so that a job that is killed in between neither loses nor doubles a set.
    """
    failed = {
        row["set_id"]: row["attempts"]
        for _, table in _parts(dataset, ["set_id", "status", "attempts"])
        for row in table.to_pylist()
        if row["status"].startswith(FAILED)
    }
    if not failed:
        return 0
    plan = read_table(storage.join(dataset, PLAN))
    attempts = [
        failed.get(set_id, before)
        for set_id, before in zip(*(plan[key].to_pylist() for key in ("set_id", "attempts")), strict=True)
    ]
    column = pa.array(attempts, pa.int32())
    write_table(storage.join(dataset, PLAN), plan.set_column(plan.schema.get_field_index("attempts"), "attempts", column))
    for part, table in _parts(dataset, ["set_id"]):
        kept = [set_id not in failed for set_id in table["set_id"].to_pylist()]
        if not all(kept):
            write_table(part, read_table(part).filter(pa.array(kept, pa.bool_())))
    return len(failed)


def _parts(dataset: str, columns: list[str]) -> Iterator[tuple[str, pa.Table]]:
    """Place and columns of each finished part, in order, read several at a time: on S3 most of a small read is waiting."""
    places = list(storage.list_files(storage.join(dataset, PARTS), ".parquet"))
    with ThreadPoolExecutor(8) as pool:
        yield from zip(places, pool.map(lambda place: read_table(place, columns), places), strict=True)
