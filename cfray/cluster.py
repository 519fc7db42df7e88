"""What a job asks of the Ray cluster, checked before anything is written, and what the cluster's errors say."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray
from ray.autoscaler.sdk import request_resources
from ray.exceptions import RayTaskError

from cfray.errors import UserError
from cfray.full import WAY_OUT, line_of_full
from cfray.progress import every_minute

WAIT = "CFRAY_WAIT_FOR_NODES"
POLL_SECONDS = 2.0


def require_workers(workers: int, cpus_per_worker: float, gpus_per_worker: float) -> None:
    """``require_room`` for workers that are all alike.

    Raises:
        UserError: naming what is asked for and what the cluster has.
    """
    require_room(
        [{"CPU": cpus_per_worker, "GPU": gpus_per_worker}] * workers,
        lambda resource, need, have: (
            f"workers={workers} with {need / workers:g} {resource}s each do not fit the cluster: they need {need:g} "
            f"{resource}s, the cluster has {have:g}; lower workers"
        ),
    )


def require_room(bundles: list[dict[str, float]], refusal: Callable[[str, float, float], str]) -> None:
    """Refuse actors that the connected cluster has no room for all at once.

    A cluster that scales by itself has no nodes before something asks for them. Where ``CFRAY_WAIT_FOR_NODES`` gives it a
    number of seconds, its autoscaler is asked for the bundles and they are waited for; by default nothing is.

    Args:
        bundles: what each actor holds, such as {"CPU": 1.0, "GPU": 0.5}; an actor lies on one node.
        refusal: the message, from the resource that is short, how much of it is needed and how much there is.

    Raises:
        UserError: with that message, or if ``CFRAY_WAIT_FOR_NODES`` is no number.
    """
    if _shortage(bundles) is not None and (seconds := _patience()):
        _wait_for_nodes(bundles, seconds)
    short = _shortage(bundles)
    if short is not None:
        raise UserError(refusal(*short))


def _patience() -> float:
    value = os.environ.get(WAIT, "0")
    try:
        return float(value)
    except ValueError:
        raise UserError(f"environment variable {WAIT}={value!r} is no number of seconds") from None


def _shortage(bundles: list[dict[str, float]]) -> tuple[str, float, float] | None:
    """The first resource of which the cluster has less than the bundles need: its name, the need, what there is."""
    have = ray.cluster_resources()
    for resource in ("CPU", "GPU"):
        need = sum(bundle.get(resource, 0) for bundle in bundles)
        if need > have.get(resource, 0):
            return resource, need, have.get(resource, 0)
    return None


def _wait_for_nodes(bundles: list[dict[str, float]], seconds: float) -> None:
    asked = [{resource: amount for resource, amount in bundle.items() if amount} for bundle in bundles]
    started = time.monotonic()

    def line() -> str:
        resource, need, have = _shortage(bundles) or ("CPU", 0, 0)
        waited = time.monotonic() - started
        return f"[cluster] waiting for nodes: {have:g} of {need:g} {resource}s after {waited:.0f} of at most {seconds:g} s"

    request_resources(bundles=asked)
    print(line(), flush=True)
    try:
        with every_minute(line):
            while _shortage(bundles) is not None and time.monotonic() - started < seconds:
                time.sleep(POLL_SECONDS)
    finally:
        request_resources(bundles=[])  # a request stays until the next one; from here on actors hold the nodes
    print(f"[cluster] waited {time.monotonic() - started:.0f} s for nodes", flush=True)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what Ray made of a worker's ``UserError``, or of its full storage, into a ``UserError`` of one line."""
    try:
        yield
    except Exception as error:  # Ray Core's and Ray Train's errors have no base in common
        found = user_error(error)
        if found is None:
            raise
        raise found from None


def user_error(error: Exception) -> UserError | None:
    """The mistake behind an error of Ray, such as a model that an actor cannot load, where there is one."""
    if isinstance(error, UserError) and not isinstance(error, RayTaskError):
        return error
    message = str(error)
    for line in reversed(message.splitlines()):
        _, found, mistake = line.partition(f"{UserError.__name__}: ")
        if found:
            return UserError(mistake)
    full = line_of_full(message)
    return None if full is None else UserError(f"no space left ({full}); {WAY_OUT}")
