"""Nodes that vanish and an S3 that breaks, in the middle of generating jobs: what is lost, what is doubled.

    python -m benchmarks.faults [--rounds 5] [--sets 120]

Each round runs the job's own pools (with stages that sleep) on two worker nodes and writes to a real HTTP server (moto) of
whose answers 15 % fail: a 500, a 503, a connection that is cut, or a second of silence and then a cut. In the middle one
worker node is killed and a new one joins. If a run ends with an error it is started again, as a user would.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor

from benchmarks.simulated import plan_of, pretended_cluster, sleeping
from cfray import storage
from cfray.dataset.store import PARTS, PLAN, finished_ids, missing_rows, write_table
from cfray.generate.pools import Pool, run_at_once
from tests.object_store import ObjectStore

FAULTS = {"500": "500s", "503": "503s", "broken": "cut connections", "stall": "silent and then cut"}
GPUS, SECONDS = 2, {"base": 0.03, "masks": 0.01, "inpaint": 0.1, "checks": 0.02}
POOLS = (Pool("base", object, (), 1, 0.1, 0.5, 4), Pool("masks", object, (), 1, 0.1, 0.5, 4),
         Pool("inpaint", object, (), 2, 0.1, 1, 2), Pool("checks", object, (), 1, 0.1, 0.5, 4))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sets", type=int, default=120)
    arguments = parser.parse_args()
    total: Counter[str] = Counter()
    server = ObjectStore()
    os.environ.update(server.environment)
    bucket = server.create_bucket("faults")
    server.share, server.kinds, server.stall = 0.15, tuple(FAULTS), 1.0
    for number in range(arguments.rounds):
        total += one_round(f"{bucket}/{number}", arguments.sets)
        print(f"round {number + 1}: {dict(total)}", flush=True)
    server.stop()
    figures = {"sets": arguments.rounds * arguments.sets, "nodes killed": total["kills"], "requests": server.requests}
    figures |= {words: server.faults[kind] for kind, words in FAULTS.items()}
    figures |= {"runs that had to be started again": total["reruns"]}
    figures |= {"sets lost": total["lost"], "sets doubled": total["doubled"]}
    print("| " + " | ".join(figures) + " |\n|" + " --- |" * len(figures))
    print("| " + " | ".join(map(str, figures.values())) + " |")
    raise SystemExit(1 if total["lost"] or total["doubled"] else 0)


def one_round(data: str, sets: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    write_table(storage.join(data, PLAN), plan_of(sets))
    with pretended_cluster(2, GPUS, 2) as (cluster, workers), ThreadPoolExecutor(1) as thread:
        job = thread.submit(_run_to_the_end, data, counts)
        _kill_one(data, cluster, workers, counts, job)
        job.result()
    found = Counter(finished_ids(data))
    counts["lost"] += len(set(plan_of(sets)["set_id"].to_pylist()) - set(found))
    counts["doubled"] += sum(n > 1 for n in found.values())
    return counts


def _run_to_the_end(data: str, counts: Counter[str]) -> None:
    while (missing := missing_rows(data)).num_rows:
        pools = [sleeping(pool, SECONDS[pool.name], payload=20_000) for pool in POOLS]
        try:
            run_at_once(pools, missing, data, 8)
        except Exception as error:  # Whatever ends a run; what matters is that the next one finishes it.
            print(f"run ended: {type(error).__name__}: {str(error).splitlines()[0][:200]}", flush=True)
            counts["reruns"] += 1


def _kill_one(data: str, cluster, workers: list, counts: Counter[str], job: Future) -> None:
    """Kill a node when a third part has been written, and let another join, which Ray allows in the main thread only."""
    while sum(1 for _ in storage.list_files(storage.join(data, PARTS), ".parquet")) < 3:
        if job.done():
            job.result()
            raise RuntimeError("the job ended before a node was killed; give it more sets")
        time.sleep(0.2)
    cluster.remove_node(workers[0], allow_graceful=False)
    counts["kills"] += 1
    cluster.add_node(num_cpus=2, num_gpus=GPUS, wait=False)


if __name__ == "__main__":
    main()
