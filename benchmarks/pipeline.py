"""The generating job's Ray Data pools against one Python loop over the same stages, on the same cores.

    python -m benchmarks.pipeline [--sets 500] [--steps 12] [--variants 6] [--cores 2]

Both make the same sets with the models of the embedded world. The loop calls stage after stage on batches of the recipe's
size in one process with ``cores`` torch threads; the job's actors hold the same cores together, one thread each. Start-up is
apart: time runs from the first call of a stage to the end of the last one. The bytes of both are compared; with another
number of threads torch rounds some products otherwise, which a PNG shows.
"""

from __future__ import annotations

import argparse
import tempfile
import time

import pyarrow as pa
import ray
import torch

from benchmarks.simulated import Clock, timed
from cfray import storage
from cfray.config import build_config
from cfray.dataset.store import PLAN, read_sets, write_table
from cfray.generate.config import GenerateConfig
from cfray.generate.pipeline import pools_of
from cfray.generate.plan import make_plan
from cfray.generate.pools import run_at_once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=500)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--variants", type=int, default=6)
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = recipe(folder, arguments)
        plan = make_plan(config).slice(0, arguments.sets)
        looped, loop_seconds = loop(config, plan, arguments.cores)
        job_seconds = job(config, plan, arguments.cores)
        ours, theirs = _pictures(read_sets(folder, status=None)), _pictures(looped)
        differing = sum(ours[set_id] != images for set_id, images in theirs.items())
    print(f"{plan.num_rows} sets of {arguments.variants} variants, {arguments.steps} steps, {arguments.cores} cores")
    print(f"loop: {plan.num_rows / loop_seconds:.2f} sets/s; job: {plan.num_rows / job_seconds:.2f} sets/s")
    print(f"throughput, job to loop: {loop_seconds / job_seconds:.2f}; sets with other bytes: {differing}")


def recipe(folder: str, arguments: argparse.Namespace) -> GenerateConfig:
    """The demo's recipe and pools, over all professions of the world."""
    painter = {"model": "world:text-to-image", "steps": arguments.steps, "guidance_scale": 3.0, "size": 64, "num_cpus": 0.5}
    return build_config(
        GenerateConfig,
        {
            "output": folder, "concepts": {"file": "world-professions", "split": "all"},
            "appearances": {"file": "appearance-world", "variants": arguments.variants},
            "sets_per_concept": -(-arguments.sets // 24), "base": painter | {"batch_size": 8},
            "masks": {"model": "world:parser", "num_cpus": 0.1, "batch_size": 8},
            "inpaint": painter | {"batch_size": 4, "actors": 2},
            "checks": {"skin_tone_reader": "world:skin-tone-reader", "gender_reader": "world:gender-reader", "num_cpus": 0.1},
        },
    )  # fmt: skip


def loop(config: GenerateConfig, plan: pa.Table, cores: int) -> tuple[pa.Table, float]:
    """The sets, made in this process, and the seconds without loading the models."""
    pools = pools_of(config)
    stages = [pool.stage(*pool.arguments) for pool in pools]
    torch.set_num_threads(cores)
    started, made = time.perf_counter(), []
    for start in range(0, plan.num_rows, config.inpaint.batch_size):
        batch = plan.slice(start, config.inpaint.batch_size)
        for stage in stages:
            batch = stage(batch)
        made.append(batch)
    return pa.concat_tables(made), time.perf_counter() - started


def job(config: GenerateConfig, plan: pa.Table, cores: int) -> float:
    """Make the sets by the job's pools and return the seconds from the first call of a stage to the last one's end."""
    write_table(storage.join(config.output, PLAN), plan)
    with ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False):
        ray.data.DataContext.get_current().wait_for_min_actors_s = 600
        clock = ray.remote(Clock).options(num_cpus=0).remote()
        run_at_once([timed(pool, clock) for pool in pools_of(config)], plan, config.output, config.rows_per_file)
        return ray.get(clock.whole.remote())


def _pictures(sets: pa.Table) -> dict[str, list[bytes]]:
    return {row["set_id"]: [v["image"]["bytes"] for v in row["variants"] if v["image"]] for row in sets.to_pylist()}


if __name__ == "__main__":
    main()
