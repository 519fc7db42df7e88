"""The stages of generation as pools of Ray actors, and the run through them: all at once, or one after the other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import ray

from cfray import storage
from cfray.cluster import plain_errors, require_room
from cfray.dataset.store import PARTS, PartWriter, finished_ids, read_table
from cfray.progress import shared_progress, watched

STAGES = "stages"


@dataclass(frozen=True)
class Pool:
    """A stage's class with its arguments, and how many actors run it with what each."""

    name: str
    stage: type
    arguments: tuple = ()
    actors: int = 1
    num_cpus: float = 1
    num_gpus: float = 0
    batch_size: int = 1

    def over(self, sets: ray.data.Dataset) -> ray.data.Dataset:
        """The sets after this stage; one row in, the same row out."""
        return sets.map_batches(
            self.stage, fn_constructor_args=self.arguments, batch_size=self.batch_size, batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=self.actors), num_cpus=self.num_cpus, num_gpus=self.num_gpus,
        )  # fmt: skip


def require_pools(pools: list[Pool], *, one_by_one: bool = False) -> None:
    """``require_room`` for the actors of all pools, or with ``one_by_one`` for those of each pool in turn.

    Raises:
        UserError: naming what every pool needs and what the cluster has.
    """
    way_out = "" if one_by_one else ", or set stage_by_stage=true"

    def refusal(resource: str, need: float, have: float) -> str:
        key = f"num_{resource.lower()}s"
        listed = ", ".join(f"{pool.name} {pool.actors * getattr(pool, key):g}" for pool in pools)
        return (
            f"the stage pools need {need:g} {resource}s ({listed}), the cluster has {have:g}; "
            f"lower actors or {key} of a stage{way_out}"
        )

    for together in [[pool] for pool in pools] if one_by_one else [pools]:
        bundles = [{"CPU": pool.num_cpus, "GPU": pool.num_gpus} for pool in together for _ in range(pool.actors)]
        require_room(bundles, refusal)


def run_at_once(pools: list[Pool], rows: pa.Table, dataset: str, rows_per_file: int) -> None:
    """Take rows through all pools at the same time and write them as parts of the data set."""
    _write(pools, _as_blocks(rows, rows_per_file), rows.num_rows, dataset, rows_per_file, "sets")


def run_one_by_one(pools: list[Pool], rows: pa.Table, dataset: str, rows_per_file: int) -> None:
    """Take rows through one pool after the other, for clusters that have no room for all of them.

    What a stage made is kept below ``stages`` in the data set until the last stage is done, so that a job that was killed
    goes on in the stage it was in.
    """
    wanted, source = set(rows["set_id"].to_pylist()), None
    for pool in pools:
        into = dataset if pool is pools[-1] else storage.join(dataset, STAGES, pool.name)
        left = wanted - set(finished_ids(into))
        if left:
            sets = _read_parts(source, left) if source else _as_blocks(rows.filter(_among(rows, left)), rows_per_file)
            _write([pool], sets, len(left), into, rows_per_file, f"sets through {pool.name}")
        source = into
    for file in list(storage.list_files(storage.join(dataset, STAGES))):
        storage.remove(file)


def _as_blocks(rows: pa.Table, rows_per_file: int) -> ray.data.Dataset:
    return ray.data.from_arrow([rows.slice(start, rows_per_file) for start in range(0, rows.num_rows, rows_per_file)])


def _read_parts(source: str, wanted: set[str]) -> ray.data.Dataset:
    """The wanted rows of another stage's parts, a part a block."""
    parts = [{"part": part} for part in storage.list_files(storage.join(source, PARTS), ".parquet")]
    read = ray.data.from_items(parts, override_num_blocks=len(parts))
    return read.map_batches(_wanted_rows, fn_args=(wanted,), batch_size=1, num_cpus=0.1)


def _wanted_rows(batch: dict[str, np.ndarray], wanted: set[str]) -> pa.Table:
    table = pa.concat_tables([read_table(part) for part in batch["part"]])
    return table.filter(_among(table, wanted))


def _write(pools: list[Pool], sets: ray.data.Dataset, count: int, dataset: str, rows_per_file: int, what: str) -> None:
    print(f"[generate] {count} {what} to make", flush=True)
    # One line a part is said below; Ray's own bars are a screen of lines for every stage, again and again.
    ray.data.DataContext.get_current().enable_progress_bars = False
    actors, made = {pool.name: pool.actors for pool in pools}, 0
    with plain_errors(), shared_progress("generate", count, unit=what, pools=actors) as progress:
        for pool in pools:
            sets = replace(pool, stage=watched(pool.stage, pool.name, progress)).over(sets)
        sets = Pool("parts", PartWriter, (dataset,), num_cpus=0.1, batch_size=rows_per_file).over(sets)
        for batch in sets.iter_batches(batch_size=None, batch_format="pyarrow"):
            made += batch.num_rows
            progress.finish.remote(batch.num_rows, Counter(status or "open" for status in batch["status"].to_pylist()))
            print(f"[generate] {made}/{count} {what}", flush=True)


def _among(table: pa.Table, ids: set[str]) -> pa.Array:
    return pa.array([set_id in ids for set_id in table["set_id"].to_pylist()], pa.bool_())
