"""Clocks on stages, and a cluster of pretended GPUs on one machine with stages that sleep what real ones take."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pyarrow as pa
import ray
from ray.cluster_utils import Cluster

from cfray.dataset.schema import KEPT, set_schema
from cfray.generate.pools import Pool

MIB = 2**20


class SleepingStage:
    """Sleeps ``seconds`` for each set, tells the clock when it did, and fills the set's base with ``payload`` bytes."""

    def __init__(self, name: str, seconds: float, clock: ray.actor.ActorHandle | None = None, payload: int = 0):
        self._name, self._seconds, self._clock, self._payload = name, seconds, clock, payload

    def __call__(self, table: pa.Table) -> pa.Table:
        started = time.time()
        time.sleep(self._seconds * table.num_rows)
        rows = table.to_pylist()
        for row in rows:
            row["status"] = KEPT
            if self._payload and row["base"] is None:
                row["base"] = {"bytes": os.urandom(self._payload), "path": None}
        if self._clock is not None:
            self._clock.note.remote(self._name, started, time.time())
        return pa.Table.from_pylist(rows, schema=table.schema)


class Clock:
    """When each stage began its first set and ended its last."""

    def __init__(self):
        self._spans: dict[str, tuple[float, float]] = {}

    def note(self, stage: str, started: float, ended: float) -> None:
        before = self._spans.get(stage, (started, ended))
        self._spans[stage] = min(before[0], started), max(before[1], ended)

    def spans(self) -> dict[str, tuple[float, float]]:
        return self._spans

    def whole(self) -> float:
        """Seconds from the first stage's begin to the last one's end."""
        return max(end for _, end in self._spans.values()) - min(start for start, _ in self._spans.values())


def sleeping(pool: Pool, seconds: float, clock: ray.actor.ActorHandle | None = None, payload: int = 0) -> Pool:
    """A pool in the place of a real one."""
    arguments = (pool.name, seconds, clock, payload)
    return Pool(pool.name, SleepingStage, arguments, pool.actors, pool.num_cpus, pool.num_gpus, pool.batch_size)


def timed(pool: Pool, clock: ray.actor.ActorHandle) -> Pool:
    """A real pool whose stage tells the clock when it works."""

    class Timed(pool.stage):
        def __call__(self, table: pa.Table) -> pa.Table:
            started = time.time()
            table = super().__call__(table)
            clock.note.remote(pool.name, started, time.time())
            return table

    return replace(pool, stage=Timed)


def plan_of(sets: int, attempts: int = 1) -> pa.Table:
    """A plan of ``sets`` sets without variants."""
    rows = [{"set_id": f"{i:016x}", "variants": [], "status": "", "attempts": attempts} for i in range(sets)]
    return pa.Table.from_pylist(rows, schema=set_schema(["gender"]))


@contextmanager
def local_cluster(nodes: int, cpus: float, gpus: float = 0, head_cpus: float = 0) -> Iterator[tuple[Cluster, list]]:
    """A head and ``nodes`` nodes with ``cpus`` CPUs and ``gpus`` pretended GPUs each, all on this machine."""
    head = {"num_cpus": head_cpus, "include_dashboard": False, "object_store_memory": 300 * MIB}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    workers = [cluster.add_node(num_cpus=cpus, num_gpus=gpus, object_store_memory=100 * MIB, wait=False) for _ in range(nodes)]
    try:
        cluster.wait_for_nodes(timeout=300)
        yield cluster, workers
    finally:
        cluster.shutdown()


@contextmanager
def pretended_cluster(nodes: int, gpus: float, cpus: float) -> Iterator[tuple[Cluster, list]]:
    """A local cluster whose head has four CPUs and no GPU; Ray is connected to it."""
    with local_cluster(nodes, cpus, gpus, head_cpus=4) as (cluster, workers):
        ray.init(address=cluster.address, log_to_driver=False)
        try:
            yield cluster, workers
        finally:
            ray.shutdown()
