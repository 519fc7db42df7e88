"""A storage that is full: how its errors say so, and the one line that a job makes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from cfray.errors import UserError

# A disk and its quota by what the C library says of ENOSPC and EDQUOT; Ceph, MinIO and the status of WebDAV that others borrow.
_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|QuotaExceeded|XMinioStorageFull|InsufficientStorage|HTTP status 507"
)
WAY_OUT = "free some and run the job again: it goes on"


def line_of_full(message: str) -> str | None:
    """The line of an error's message that says that a disk, a bucket or a quota has no room left, or None."""
    return next((line.strip() for line in message.splitlines() if _FULL.search(line)), None)


@contextmanager
def full_as_usererror(place: str) -> Iterator[None]:
    """Turn an ``OSError`` that says that there is no room for ``place`` into a ``UserError``."""
    try:
        yield
    except OSError as error:
        if line_of_full(str(error)) is None:
            raise
        raise UserError(f"no space left to write {place!r}; {WAY_OUT}") from None
