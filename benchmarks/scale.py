"""Efficiency of the generating job on pretended clusters: its own pools and writer, with stages that sleep.

    python -m benchmarks.scale [--gpus 4 16 64] [--gpus-per-node 4] [--sets-per-gpu 32]

Seconds per set are given (`--seconds`); the pools are those that `jobs/plan.py` gives for them, and so is the choice between
all stages at once and one after the other. Efficiency is the slept GPU time over GPUs x wall time, from the first set's
start to the last one's end in each run of the pools: start-up apart, filling and emptying of the pipeline counted.
"""

from __future__ import annotations

import argparse
import tempfile

import ray

from benchmarks.simulated import Clock, plan_of, pretended_cluster, sleeping
from cfray.config import build_config
from cfray.dataset.store import finished_ids
from cfray.generate.pools import Pool, run_at_once, run_one_by_one
from cfray.generate.pricing import Load, PricingConfig, at_once, one_by_one

# Sets handed to an actor at once, and GPUs of an actor.
BATCHES = {"base": 4, "masks": 4, "inpaint": 1, "checks": 4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--gpus-per-node", type=int, default=4)
    parser.add_argument("--sets-per-gpu", type=int, default=32)
    parser.add_argument(
        "--seconds",
        type=float,
        nargs=4,
        default=[0.4, 0.1, 9.0, 0.35],
        help="per set: base, masks, inpaint, checks; those of the example of docs/generation.md with six variants",
    )
    arguments = parser.parse_args()
    seconds = dict(zip(BATCHES, arguments.seconds, strict=True))
    print("| GPUs | nodes | sets | actors | ideal by the plan | measured |\n|" + " --- |" * 6)
    for gpus in arguments.gpus:
        print(run(gpus, arguments.gpus_per_node, gpus * arguments.sets_per_gpu, seconds), flush=True)


def run(gpus: int, per_node: int, sets: int, seconds: dict[str, float]) -> str:
    loads = [Load(name, value, 1, 0.01) for name, value in seconds.items()]
    pricing = build_config(PricingConfig, {"gpus": gpus, "cpus": 1000})
    together, apart = at_once(loads, pricing, sets), one_by_one(loads, pricing, sets)
    schedule = apart if together is None or together.hours > 1.1 * apart.hours else together
    with pretended_cluster(gpus // per_node, per_node, 4) as _, tempfile.TemporaryDirectory() as folder:
        ray.data.DataContext.get_current().wait_for_min_actors_s = 900  # start-up apart
        clock = ray.remote(Clock).options(num_cpus=0).remote()
        pools = [
            sleeping(Pool(name, object, (), schedule.actors[name], 0.01, 1, BATCHES[name]), value, clock)
            for name, value in seconds.items()
        ]
        (run_one_by_one if schedule.stage_by_stage else run_at_once)(pools, plan_of(sets), folder, 8)
        spans, whole = ray.get([clock.spans.remote(), clock.whole.remote()])
        if sorted(finished_ids(folder)) != plan_of(sets)["set_id"].to_pylist():
            raise SystemExit(f"{gpus} GPUs: sets are missing or doubled")
    wall = sum(end - start for start, end in spans.values()) if schedule.stage_by_stage else whole
    efficiency = sets * sum(seconds.values()) / (gpus * wall)
    way = "one after the other: " if schedule.stage_by_stage else "at once: "
    actors = way + ", ".join(f"{name} {count}" for name, count in schedule.actors.items())
    return f"| {gpus} | {gpus // per_node} | {sets} | {actors} | {schedule.efficiency:.2f} | {efficiency:.2f} |"


if __name__ == "__main__":
    main()
