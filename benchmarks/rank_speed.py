"""Time and memory of MaxSkew, MinSkew and NDKL of many queries over a large gallery, beside a loop over queries.

    python benchmarks/rank_speed.py --queries 1000 --images 100000 --k 1000

Scores and groups are random, which no ranking is cheaper or dearer than. The loop ranks one query after the other and goes
down its ranking in Python, as published evaluation code does; it is measured on ``--loop`` queries and scaled.
"""

from __future__ import annotations

import argparse
import math
import resource
import time
from collections.abc import Sequence

import numpy as np

from cfray.metrics import rank_fairness


def by_loop(scores: np.ndarray, groups: np.ndarray, k: int, target: Sequence[float]) -> list[tuple[float, float, float]]:
    """MaxSkew, MinSkew and NDKL of every query, one query and one result at a time."""
    found = []
    for row in scores:
        ranked = groups[np.argsort(-row, kind="stable")][:k].tolist()
        found.append((*skews(ranked, target), divergence(ranked, target)))
    return found


def skews(ranked: Sequence[int], target: Sequence[float]) -> tuple[float, float]:
    """Largest and smallest ln(share / target share); an absent group counts as one."""
    values = [math.log(max(ranked.count(group), 1) / len(ranked) / share) for group, share in enumerate(target)]
    return max(values), min(values)


def divergence(ranked: Sequence[int], target: Sequence[float]) -> float:
    """NDKL down the ranking, by its definition."""
    counts, total, norm = [0] * len(target), 0.0, 0.0
    for i, group in enumerate(ranked, start=1):
        counts[group] += 1
        total += sum(c / i * math.log(c / i / share) for c, share in zip(counts, target, strict=True) if c) / math.log2(i + 1)
        norm += 1 / math.log2(i + 1)
    return total / norm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--k", type=int, default=1000)
    parser.add_argument("--groups", type=int, default=7)
    parser.add_argument("--loop", type=int, default=20, help="queries that the loop is measured on")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((arguments.queries, arguments.images), dtype=np.float32)
    groups = rng.integers(arguments.groups, size=arguments.images)
    walls, processors = [], []
    for _ in range(arguments.repeat):
        wall, processor = time.perf_counter(), time.process_time()
        result = rank_fairness(scores, groups, k=arguments.k, n_floor=0, n_bootstrap=0)
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    processor = time.process_time()
    slow = by_loop(scores[: arguments.loop], groups, arguments.k, [1 / arguments.groups] * arguments.groups)
    looped = (time.process_time() - processor) * arguments.queries / arguments.loop
    fast = np.stack([result.max_skew, result.min_skew, result.ndkl], axis=1)[: arguments.loop]
    print(f"{arguments.queries:,} queries x {arguments.images:,} images, k = {arguments.k}, {arguments.groups} groups")
    spent = f"{np.median(walls):.2f} s wall, {np.median(processors):.2f} s of processor time"
    print(f"rank_fairness: {spent}, peak {memory:.2f} GiB")
    print(f"loop over queries: {looped:.1f} s of processor time ({arguments.loop} queries measured)")
    print(f"ratio of processor times: {looped / np.median(processors):.0f}")
    print(f"largest difference: {np.abs(fast - np.array(slow)).max():.1e}")


if __name__ == "__main__":
    main()
