"""The stages of generation as pools of Ray actors, and the run through them: all at once, or one after the other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

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
    _write(pools, _as_blocks(rows, pools[0].batch_size), rows.num_rows, dataset, rows_per_file, "sets")


def run_one_by_one(pools: list[Pool], rows: pa.Table, dataset: str, rows_per_file: int) -> None:
    """Take rows through one pool after the other, for clusters that have no room for all of them.

    What a stage made is kept below ``stages`` in the data set until the last stage is done, so that a job that was killed
    goes on in the stage it was in. A part there is a batch of the next stage.
    """
    wanted, source = set(rows["set_id"].to_pylist()), None
    for pool, following in zip(pools, [*pools[1:], None], strict=True):
        into = storage.join(dataset, STAGES, pool.name) if following else dataset
        left = wanted - set(finished_ids(into))
        if left:
            sets = _parts_of(source) if source else _as_blocks(rows.filter(_among(rows, left)), pool.batch_size)
            rows_per_part = following.batch_size if following else rows_per_file
            stage = _reading(pool, left) if source else pool
            _write([stage], sets, len(left), into, rows_per_part, f"sets through {pool.name}")
        source = into
    for file in list(storage.list_files(storage.join(dataset, STAGES))):
        storage.remove(file)


def _as_blocks(rows: pa.Table, size: int) -> ray.data.Dataset:
    """A block is what one actor goes through alone, and what is made again when its node is lost: one batch, no more."""
    return ray.data.from_arrow([rows.slice(start, size) for start in range(0, rows.num_rows, size)])


def _parts_of(source: str) -> ray.data.Dataset:
    """The names of another stage's parts, one a block."""
    parts = [{"part": part} for part in storage.list_files(storage.join(source, PARTS), ".parquet")]
    return ray.data.from_items(parts, override_num_blocks=len(parts))


def _reading(pool: Pool, wanted: set[str]) -> Pool:
    """The pool with actors that take names of parts and read the wanted rows themselves, which spares tasks that do."""

    class Reading(pool.stage):
        def __call__(self, parts: pa.Table) -> pa.Table:
            table = pa.concat_tables([read_table(part) for part in parts["part"].to_pylist()])
            table = table.filter(_among(table, wanted))
            batches = [table.slice(start, pool.batch_size) for start in range(0, table.num_rows, pool.batch_size)]
            return pa.concat_tables([super(Reading, self).__call__(batch) for batch in batches]) if batches else table

    Reading.__name__ = Reading.__qualname__ = pool.stage.__name__
    return replace(pool, stage=Reading, batch_size=1)


def _write(pools: list[Pool], sets: ray.data.Dataset, count: int, dataset: str, rows_per_file: int, what: str) -> None:
    print(f"[generate] {count} {what} to make", flush=True)
    # A byte at most is one row a block: the next pool's batches are put together from rows, by any of its actors, and not from
    # what one actor made in one go. (repartition would do it in tasks with a CPU each, which the pools may have taken.)
    sets.context.target_max_block_size = 1
    # One line a part is said below; Ray's own bars are a screen of lines for every stage, again and again.
    ray.data.DataContext.get_current().enable_progress_bars = False
    actors, made = {pool.name: pool.actors for pool in pools}, 0
    with plain_errors(), shared_progress("generate", count, unit=what, pools=actors) as progress:
        for pool in pools:
            sets = replace(pool, stage=watched(pool.stage, pool.name, progress)).over(sets)
        sets = Pool("parts", PartWriter, (dataset,), num_cpus=0.1, batch_size=rows_per_file).over(sets)
        for batch in sets.iter_batches(batch_size=rows_per_file, batch_format="pyarrow"):
            made += batch.num_rows
            progress.finish.remote(batch.num_rows, Counter(status or "open" for status in batch["status"].to_pylist()))
            print(f"[generate] {made}/{count} {what}", flush=True)


def _among(table: pa.Table, ids: set[str]) -> pa.Array:
    return pa.array([set_id in ids for set_id in table["set_id"].to_pylist()], pa.bool_())
