"""What a running job has done: Ray metrics for Prometheus, and one line a minute in the log.

Ray exports the metrics of ``METRICS`` with the prefix ``ray_`` on every node; ``docs/grafana-dashboard.json`` draws them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pyarrow as pa
import ray
import ray.util.metrics
from ray.actor import ActorHandle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

INTERVAL_SECONDS = 60.0
# Ray's agent drops a gauge that has not been set for twice ``metrics_report_interval_ms``, which is 20 s by default.
PUBLISH_SECONDS = 5.0
METRICS = {
    "cfray_rows": "rows that left a stage, by outcome",
    "cfray_done": "units that are finished, those of earlier runs among them",
    "cfray_planned": "units that the job is to finish",
    "cfray_per_second": "units finished a second since this run began",
    "cfray_eta_seconds": "seconds until the job is finished, at that rate",
    "cfray_busy_share": "share of the time since the first row in which a stage's actors were at work",
}


class Progress:
    """Counts of one job's run. Times are in seconds of ``clock``.

    Args:
        job: the job's name, as in its record.
        planned: how many units the job is to finish.
        finished: how many of them earlier runs have finished.
        unit: what is counted, in the plural.
        pools: number of actors by stage, in order of the stages; the busy share of a stage is a share of their time.
    """

    def __init__(
        self, job: str, planned: int, *, finished: int = 0, unit: str = "sets", pools: dict[str, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):  # fmt: skip
        self._job, self._planned, self._before, self._unit, self._clock = job, planned, finished, unit, clock
        self._pools = pools or {}
        self._done, self._outcomes = 0, Counter()
        self._busy, self._since = Counter(), {}
        self._started = clock()
        self._lock = threading.RLock()
        tags = {"cfray_rows": ("cfray_job", "stage", "outcome"), "cfray_busy_share": ("cfray_job", "stage")}
        kinds = {"cfray_rows": ray.util.metrics.Counter}
        self._metrics = {
            name: kinds.get(name, ray.util.metrics.Gauge)(name, description=text, tag_keys=tags.get(name, ("cfray_job",)))
            for name, text in METRICS.items()
        }
        self.publish()

    def work(self, stage: str, seconds: float, outcomes: dict[str, int]) -> None:
        """A stage worked for so many seconds and let rows go: ``outcomes`` counts them by status, "" for those still open."""
        with self._lock:
            self._since.setdefault(stage, self._clock() - seconds)
            self._busy[stage] += seconds
        for outcome, count in outcomes.items():
            tags = {"cfray_job": self._job, "stage": stage, "outcome": outcome or "open"}
            self._metrics["cfray_rows"].inc(count, tags=tags)
        self.publish()

    def finish(self, count: int, outcomes: dict[str, int] | None = None) -> None:
        """So many more units are finished, with these outcomes."""
        with self._lock:
            self._done += count
            self._outcomes.update(outcomes or {})
        self.publish()

    def line(self) -> str:
        """How far the job is, how fast, how busy its stages are, and what did not work out."""
        with self._lock:
            rate = self._rate()
            eta = "unknown" if rate == 0 else str(timedelta(seconds=round(self._left() / rate)))
            parts = [f"{self._before + self._done}/{self._planned} {self._unit}, {rate:.3g} {self._unit}/s, ETA {eta}"]
            shares = self._busy_shares()
            if shares:
                parts.append("busy: " + ", ".join(f"{stage} {share:.0%}" for stage, share in shares.items()))
            if self._outcomes:
                parts.append(", ".join(f"{outcome} {count}" for outcome, count in sorted(self._outcomes.items())))
            return f"[{self._job}] " + "; ".join(parts)

    def publish(self) -> None:
        """Set the gauges, which Ray forgets if nobody does for a while."""
        with self._lock:
            tags, rate = {"cfray_job": self._job}, self._rate()
            self._metrics["cfray_done"].set(self._before + self._done, tags=tags)
            self._metrics["cfray_planned"].set(self._planned, tags=tags)
            self._metrics["cfray_per_second"].set(rate, tags=tags)
            if rate:
                self._metrics["cfray_eta_seconds"].set(self._left() / rate, tags=tags)
            for stage, share in self._busy_shares().items():
                self._metrics["cfray_busy_share"].set(share, tags=tags | {"stage": stage})

    def _left(self) -> int:
        return max(0, self._planned - self._before - self._done)  # what a lost actor had told is done and told again

    def _rate(self) -> float:
        return self._done / max(self._clock() - self._started, 1e-9)

    def _busy_shares(self) -> dict[str, float]:
        now = self._clock()
        return {
            stage: min(1.0, self._busy[stage] / (max(now - self._since[stage], 1e-9) * actors))
            for stage, actors in self._pools.items()
            if stage in self._since
        }


@contextmanager
def shared_progress(job: str, planned: int, **options) -> Iterator[ActorHandle]:
    """A ``Progress`` that actors on all nodes tell what they do, shown for as long as the block runs; it lives on the node of
    the caller and needs no CPU."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here)(Progress)
    progress = actor.remote(job, planned, **options)
    with shown(lambda: ray.get(progress.line.remote()), progress.publish.remote):
        yield progress


def watched(stage: type, name: str, progress: ActorHandle) -> type:
    """``stage``, a callable over Arrow tables with a column ``status``, that tells ``progress`` about every batch."""

    class Watched(stage):
        def __call__(self, table: pa.Table) -> pa.Table:
            started = time.monotonic()
            table = super().__call__(table)
            outcomes = Counter(status or "" for status in table["status"].to_pylist())
            progress.work.remote(name, time.monotonic() - started, dict(outcomes))
            return table

    Watched.__name__ = Watched.__qualname__ = stage.__name__  # what Ray calls the actors in its logs and dashboard
    return Watched


@contextmanager
def shown(line: Callable[[], str], publish: Callable[[], object]) -> Iterator[None]:
    """Print the line every minute and keep the gauges from being forgotten, for as long as the block runs."""
    with every_minute(line), _repeated(publish, PUBLISH_SECONDS):
        yield


@contextmanager
def every_minute(line: Callable[[], str], seconds: float = INTERVAL_SECONDS) -> Iterator[None]:
    """Print ``line()`` each time so many seconds have passed, for as long as the block runs."""
    with _repeated(lambda: print(line(), flush=True), seconds):
        yield


@contextmanager
def _repeated(action: Callable[[], object], seconds: float) -> Iterator[None]:
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            action()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
