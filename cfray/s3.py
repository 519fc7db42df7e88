"""The connection to S3: Arrow's file system for reading and writing, boto3 for what Arrow has no call for.

Arrow lists a folder into memory as a whole, leaves an empty object where it deleted the last file of a folder, and
finishes a broken upload instead of dropping it; so listing, deleting and copying files go through boto3. Credentials, region
and endpoint are those that boto3's standard chain finds (environment, profile, container or instance role). Another
endpoint than Amazon's is ``AWS_ENDPOINT_URL_S3`` or ``endpoint_url`` of the profile, and is addressed path-style.

Both repeat what failed with 500, 503, a timeout or a broken connection, after exponentially growing times with jitter. Arrow
cannot repeat a read that is shorter than the server's error message, which overruns its buffer; ``retrying`` can.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import boto3.session
from boto3.exceptions import S3TransferFailedError, S3UploadFailedError
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pyarrow import fs

from cfray.errors import UserError
from cfray.full import full_as_usererror

T = TypeVar("T")
SCHEME = "s3://"
ATTEMPTS = 10
CONNECT_SECONDS, READ_SECONDS = 5, 15
READ_ATTEMPTS = 5
PASSING = re.compile("AWS Error (INTERNAL_FAILURE|SLOW_DOWN|SERVICE_UNAVAILABLE|NETWORK_CONNECTION|REQUEST_TIMEOUT|UNKNOWN)")


class S3(fs.S3FileSystem):
    """Arrow's file system with our retries, which Arrow's own would forget on its way to a Ray worker."""

    def __init__(self, **options: Any):
        self._options = options
        super().__init__(
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS), connect_timeout=CONNECT_SECONDS,
            request_timeout=READ_SECONDS, allow_delayed_open=True, **options,
        )  # fmt: skip

    def __reduce__(self):
        return _rebuilt, (self._options,)


def _rebuilt(options: dict[str, Any]) -> S3:
    return S3(**options)


def split(place: str) -> tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``.

    Raises:
        UserError: if there is no bucket in it.
    """
    bucket, _, key = place.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise UserError(f"place {place!r} has no bucket; write s3://bucket/key")
    return bucket, key


def filesystem(place: str) -> S3:
    """Arrow's file system for the bucket of ``place``."""
    return _filesystem(_settings(), split(place)[0])


def client() -> BaseClient:
    """boto3's S3 client; threads may share it."""
    return _client(_settings())


def list_files(place: str) -> Iterator[str]:
    """Places of all objects below the folder ``place`` in order of their keys, a page of 1,000 in memory at a time.

    Raises:
        UserError: if there is no such bucket.
    """
    bucket, key = split(place)
    prefix = key.rstrip("/") + "/" if key.strip("/") else ""
    with _as_oserror(place):
        for page in client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", ()):
                if not item["Key"].endswith("/"):  # the empty object that stands for a folder
                    yield f"{SCHEME}{bucket}/{item['Key']}"


def remove(place: str) -> None:
    """Delete an object; nothing happens if it is not there."""
    bucket, key = split(place)
    with _as_oserror(place):
        client().delete_object(Bucket=bucket, Key=key)


def upload(file: str, place: str) -> None:
    """Copy a local file to an object: in parallel parts if it is large, and nothing is left of an upload that fails.

    Raises:
        UserError: if the bucket is full or a quota is used up.
    """
    bucket, key = split(place)
    with full_as_usererror(place), _as_oserror(place):
        client().upload_file(file, bucket, key)


def download(place: str, file: str) -> None:
    """Copy an object to a local file, in parallel parts if it is large."""
    bucket, key = split(place)
    with _as_oserror(place):
        client().download_file(bucket, key, file)


def retrying(call: Callable[[], T]) -> T:
    """The result of ``call``, which reads through Arrow and is called again after an error of the server that may pass."""
    for attempt in range(READ_ATTEMPTS - 1):
        try:
            return call()
        except OSError as error:
            if not PASSING.search(str(error)):
                raise
        time.sleep(random.uniform(0, 0.2 * 2**attempt))
    return call()


@contextmanager
def _as_oserror(place: str):
    """boto3's errors as those that any file system raises."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucket":
            raise UserError(f"bucket {split(place)[0]!r} of {place!r} not found; create it or correct the name") from None
        raise OSError(f"{place}: {error}") from error
    except (BotoCoreError, S3TransferFailedError, S3UploadFailedError) as error:
        raise OSError(f"{place}: {error}") from error


def _settings() -> tuple[tuple[str, str], ...]:
    """What connections depend on, so that one is made anew when the environment changes."""
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))


@lru_cache(maxsize=4)
def _client(settings: tuple[tuple[str, str], ...]) -> BaseClient:
    options = {
        "retries": {"mode": "standard", "max_attempts": ATTEMPTS},
        "connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS,
    }  # fmt: skip
    found = boto3.session.Session().client("s3", config=Config(**options))
    if _is_amazon(found):
        return found
    return boto3.session.Session().client("s3", config=Config(**options, s3={"addressing_style": "path"}))


@lru_cache(maxsize=16)
def _filesystem(settings: tuple[tuple[str, str], ...], bucket: str) -> S3:
    found = _client(settings)
    if not _is_amazon(found):
        return S3(region=found.meta.region_name, endpoint_override=found.meta.endpoint_url)
    try:
        return S3(region=fs.resolve_s3_region(bucket))
    except OSError as error:
        raise UserError(f"bucket {bucket!r} cannot be reached ({error}); correct the name or the network") from None


def _is_amazon(found: BaseClient) -> bool:
    host = urlsplit(found.meta.endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
