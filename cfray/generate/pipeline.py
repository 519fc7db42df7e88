"""Wires the stages of generation into one Ray Data job that can be killed at any moment and run again."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import ray

from cfray import storage
from cfray.dataset.store import PLAN, count_sets, finished_ids, missing_rows, write_part, write_table
from cfray.errors import UserError
from cfray.generate.checks import VariantChecker
from cfray.generate.config import GenerateConfig
from cfray.generate.masks import PersonMasker
from cfray.generate.painters import BasePainter, Inpainter
from cfray.generate.plan import make_plan
from cfray.runs import Record, finished_record
from cfray.world.models import model_path


def generate(config: GenerateConfig) -> dict[str, Any]:
    """Make the data set of a configuration and return its record.

    The plan is written first. Sets that finished parts already hold are not made again; at the end plan and parts are
    compared, and a hole or a double is an error.

    Raises:
        UserError: for a configuration that cannot run here, before anything is written.
        RuntimeError: if sets are missing or doubled at the end.
    """
    done = finished_record(config.output, config)
    if done is not None:
        _verify(config.output)
        return done
    plan = make_plan(config)
    preflight(config)
    record = Record(config.output, "generate", config)
    record.start()
    write_table(storage.join(config.output, PLAN), plan)
    missing = missing_rows(config.output)
    if missing.num_rows:
        with record.timed("generate"):
            _run(config, missing)
    _verify(config.output)
    record.finish(sets=asdict(count_sets(config.output)))
    return record.data


def preflight(config: GenerateConfig) -> None:
    """Refuse what cannot work before anything is written or loaded.

    Raises:
        UserError: if a model folder is missing, the output cannot be written or the pools do not fit the cluster.
    """
    for model in (
        config.base.model,
        config.masks.model,
        config.inpaint.model,
        config.checks.skin_tone_reader,
        config.checks.gender_reader,
    ):
        if model is not None:
            model_path(model)
    storage.require_writable(config.output)
    pools = {"base": config.base, "masks": config.masks, "inpaint": config.inpaint}
    have = ray.cluster_resources()
    for resource, field in (("CPU", "num_cpus"), ("GPU", "num_gpus")):
        needs = {name: stage.actors * getattr(stage, field) for name, stage in pools.items()}
        needs["checks"] = getattr(config.checks, field)
        total = sum(needs.values())
        if total > have.get(resource, 0):
            listed = ", ".join(f"{name} {need:g}" for name, need in needs.items())
            raise UserError(
                f"the stage pools need {total:g} {resource}s ({listed}), the cluster has {have.get(resource, 0):g}; "
                f"lower actors or {field} of a stage"
            )


def _run(config: GenerateConfig, missing: pa.Table) -> None:
    print(f"[generate] {missing.num_rows} sets to make", flush=True)
    # One line a part is said below; Ray's own bars are a screen of lines for every stage, again and again.
    ray.data.DataContext.get_current().enable_progress_bars = False
    blocks = -(-missing.num_rows // config.rows_per_file)
    sets = ray.data.from_arrow([missing.slice(i * config.rows_per_file, config.rows_per_file) for i in range(blocks)])
    stages = (
        (BasePainter, (config.base,), config.base),
        (PersonMasker, (config.masks,), config.masks),
        (Inpainter, (config.inpaint,), config.inpaint),
    )
    for stage, arguments, pool in stages:
        sets = sets.map_batches(
            stage, fn_constructor_args=arguments, batch_size=pool.batch_size, batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=pool.actors), num_cpus=pool.num_cpus, num_gpus=pool.num_gpus,
        )  # fmt: skip
    sets = sets.map_batches(
        VariantChecker, fn_constructor_args=(config,), batch_size=config.inpaint.batch_size,
        batch_format="pyarrow", compute=ray.data.ActorPoolStrategy(size=1), num_cpus=config.checks.num_cpus,
        num_gpus=config.checks.num_gpus,
    )  # fmt: skip
    sets = sets.map_batches(
        PartWriter, fn_constructor_args=(config.output,), batch_size=config.rows_per_file, batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1), num_cpus=0.1,
    )  # fmt: skip
    made = 0
    for batch in sets.iter_batches(batch_size=None, batch_format="pyarrow"):
        made += batch.num_rows
        print(f"[generate] {made}/{missing.num_rows} sets", flush=True)


class PartWriter:
    """Writes each batch as a part and passes on only the ids and statuses.

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


def _verify(dataset: str) -> None:
    """Compare plan and parts.

    Raises:
        RuntimeError: if a planned set is in no part or in more than one.
    """
    holes = missing_rows(dataset).num_rows
    doubled = [set_id for set_id, n in Counter(finished_ids(dataset)).items() if n > 1]
    if holes or doubled:
        raise RuntimeError(f"{dataset!r}: {holes} planned sets are missing and {len(doubled)} are doubled; run the job again")
