"""The generating job: plan, run what is missing, compare; it can be killed at any moment and run again."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from cfray import storage
from cfray.dataset.card import write_card
from cfray.dataset.store import (
    PLAN,
    SetCounts,
    count_sets,
    finished_ids,
    first_error,
    missing_rows,
    read_table,
    withdraw_failed,
    write_table,
)
from cfray.errors import UserError
from cfray.generate.checks import VariantChecker
from cfray.generate.config import GenerateConfig, StageConfig
from cfray.generate.masks import PersonMasker
from cfray.generate.painters import BasePainter, Inpainter
from cfray.generate.plan import make_plan
from cfray.generate.pools import Pool, run_at_once, run_one_by_one
from cfray.generate.preflight import preflight
from cfray.runs import Record, finished_record


def generate(config: GenerateConfig) -> dict[str, Any]:
    """Make the data set of a configuration and return its record.

    The plan is written first. Sets that finished parts already hold are not made again, but failed ones with
    ``retry_failed``; at the end plan and parts are compared, and a hole or a double is an error.

    Raises:
        UserError: for a configuration that cannot run here, before anything is written; or if no set was kept.
        RuntimeError: if sets are missing or doubled at the end.
    """
    done = finished_record(config.output, config)
    if done is not None and not (config.retry_failed and done["result"]["sets"]["failed"]):
        _verify(config.output)
        return done
    plan = make_plan(config)
    pools = pools_of(config)
    preflight(config, pools)
    record = Record(config.output, "generate", config)
    record.start()
    write_table(storage.join(config.output, PLAN), _with_attempts(plan, config.output))
    if config.retry_failed:
        print(f"[generate] {withdraw_failed(config.output)} failed sets will be tried again", flush=True)
    missing = missing_rows(config.output)
    if missing.num_rows:
        attempts = pa.array([1 + (n or 0) for n in missing["attempts"].to_pylist()], pa.int32())
        missing = missing.set_column(missing.schema.get_field_index("attempts"), "attempts", attempts)
        with record.timed("generate"):
            run = run_one_by_one if config.stage_by_stage else run_at_once
            run(pools, missing, config.output, config.rows_per_file)
    _verify(config.output)
    counts = count_sets(config.output)
    _require_kept(config.output, counts)
    write_card(config.output, record.data, asdict(counts))
    record.finish(sets=asdict(counts))
    return record.data


def pools_of(config: GenerateConfig) -> list[Pool]:
    """The stages of a recipe in the order in which a set passes them."""
    checks = config.checks
    return [
        _pool("base", BasePainter, config.base),
        _pool("masks", PersonMasker, config.masks),
        _pool("inpaint", Inpainter, config.inpaint),
        Pool(
            "checks", VariantChecker, (config,), checks.actors, checks.num_cpus, checks.num_gpus, config.inpaint.batch_size
        ),
    ]  # fmt: skip


def _pool(name: str, stage: type, config: StageConfig) -> Pool:
    return Pool(name, stage, (config,), config.actors, config.num_cpus, config.num_gpus, config.batch_size)


def _with_attempts(plan: pa.Table, dataset: str) -> pa.Table:
    """The plan with the attempts that a plan already in the data set has counted."""
    place = storage.join(dataset, PLAN)
    if not storage.exists(place):
        return plan
    old = read_table(place, ["set_id", "attempts"])
    counted = dict(zip(old["set_id"].to_pylist(), old["attempts"].to_pylist(), strict=True))
    attempts = pa.array([counted.get(set_id, 0) for set_id in plan["set_id"].to_pylist()], pa.int32())
    return plan.set_column(plan.schema.get_field_index("attempts"), "attempts", attempts)


def _require_kept(dataset: str, counts: SetCounts) -> None:
    if counts.kept:
        return
    reasons = [f"{reason} {n} sets" for reason, n in (counts.rejected | counts.failed).items()]
    hint = "; when its cause is gone, run again with retry_failed=true" if counts.failed else ""
    raise UserError(f"no set of {dataset!r} was kept ({', '.join(reasons)}); the first: {first_error(dataset)}{hint}")


def _verify(dataset: str) -> None:
    """Compare plan and parts.

    Raises:
        RuntimeError: if a planned set is in no part or in more than one.
    """
    holes = missing_rows(dataset).num_rows
    doubled = [set_id for set_id, n in Counter(finished_ids(dataset)).items() if n > 1]
    if holes or doubled:
        raise RuntimeError(f"{dataset!r}: {holes} planned sets are missing and {len(doubled)} are doubled; run the job again")
