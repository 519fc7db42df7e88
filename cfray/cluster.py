"""What a job asks of the Ray cluster, checked before anything is written, and what the cluster's errors say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.exceptions import RayTaskError

from cfray.errors import UserError


def require_workers(workers: int, cpus_per_worker: float, gpus_per_worker: float) -> None:
    """Refuse more workers than the connected cluster has room for.

    Raises:
        UserError: naming what is asked for and what the cluster has.
    """
    have = ray.cluster_resources()
    for resource, each in (("CPU", cpus_per_worker), ("GPU", gpus_per_worker)):
        if workers * each > have.get(resource, 0):
            raise UserError(
                f"workers={workers} with {each:g} {resource}s each do not fit the cluster: they need {workers * each:g} "
                f"{resource}s, the cluster has {have.get(resource, 0):g}; lower workers"
            )


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn a ``UserError`` that a task or an actor raised into that error again, without Ray's traceback in its message."""
    try:
        yield
    except RayTaskError as error:
        if not isinstance(error.cause, UserError):
            raise
        raise UserError(str(error.cause)) from None
