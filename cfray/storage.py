"""One way to name a place: a local path or an ``s3://bucket/key`` URI, read and written through ``pyarrow.fs``.

Credentials, region and endpoint of S3 come from the standard chain (environment, profile, instance role).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from pyarrow import fs

from cfray.errors import UserError


def is_remote(place: str) -> bool:
    return "://" in place


def resolve(place: str) -> tuple[fs.FileSystem, str]:
    """The file system of a place and the path in it; local paths become absolute.

    Raises:
        UserError: if the scheme is not one that pyarrow knows.
    """
    if not is_remote(place):
        return fs.LocalFileSystem(), os.path.abspath(place)
    try:
        return fs.FileSystem.from_uri(place)
    except ValueError as error:
        raise UserError(
            f"place {place!r} has a scheme that cannot be read: {error}; use a local path or s3://bucket/key"
        ) from None


def absolute(place: str) -> str:
    """A local path made absolute; a URI as it is."""
    return place if is_remote(place) else os.path.abspath(place)


def join(place: str, *parts: str) -> str:
    """``place/part/...``."""
    return "/".join([place.rstrip("/"), *parts])


def exists(place: str) -> bool:
    filesystem, path = resolve(place)
    return filesystem.get_file_info(path).type != fs.FileType.NotFound


def read_bytes(place: str) -> bytes:
    """The content of a file.

    Raises:
        UserError: if there is no such file.
    """
    filesystem, path = resolve(place)
    try:
        with filesystem.open_input_stream(path) as stream:
            return stream.read()
    except FileNotFoundError:
        raise UserError(f"file {place!r} not found") from None


def write_bytes(place: str, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part.

    A local file is written beside its name and renamed; an S3 object appears when its upload is complete.
    """
    filesystem, path = resolve(place)
    if is_remote(place):
        with filesystem.open_output_stream(path) as stream:
            stream.write(content)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def list_files(place: str, suffix: str = "") -> Iterator[str]:
    """Places of the files below ``place`` whose names end in ``suffix``, in order; none if there is no such folder.

    Names that begin with a dot are passed over: they are files still being written.
    """
    filesystem, path = resolve(place)
    entries = filesystem.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    prefix = place.partition("://")[0] + "://" if is_remote(place) else ""
    for entry in sorted(entries, key=lambda info: info.path):
        if entry.type == fs.FileType.File and entry.base_name.endswith(suffix) and not entry.base_name.startswith("."):
            yield prefix + entry.path


def remove(place: str) -> None:
    """Delete a file; nothing happens if it is not there."""
    filesystem, path = resolve(place)
    if filesystem.get_file_info(path).type == fs.FileType.File:
        filesystem.delete_file(path)


def upload_folder(folder: Path, place: str) -> None:
    """Copy every file of a local folder to ``place``, each whole or not at all."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        write_bytes(join(place, file.relative_to(folder).as_posix()), file.read_bytes())


def download_folder(place: str, folder: Path) -> Path:
    """Copy every file below ``place`` into a local folder and return it.

    Raises:
        UserError: if there is no file below ``place``.
    """
    _, root = resolve(place)
    empty = True
    for file in list_files(place):
        empty = False
        target = folder / os.path.relpath(resolve(file)[1], root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(read_bytes(file))
    if empty:
        raise UserError(f"folder {place!r} is empty or not found")
    return folder


def require_writable(place: str) -> None:
    """Prove that a file can be written below ``place``, and take it away again.

    Raises:
        UserError: if it cannot.
    """
    probe = join(place, f"write-probe-{uuid.uuid4().hex}")
    created = _first_missing(place)
    try:
        write_bytes(probe, b"cfray")
        remove(probe)
    except OSError as error:
        raise UserError(f"output place {place!r} cannot be written ({error}); give one that can") from None
    finally:
        if created is not None:
            _remove_empty(Path(place).resolve(), created)


def _first_missing(place: str) -> Path | None:
    """The highest local folder that writing to ``place`` would create."""
    if is_remote(place):
        return None
    missing = [path for path in (Path(place).resolve(), *Path(place).resolve().parents) if not path.exists()]
    return missing[-1] if missing else None


def _remove_empty(folder: Path, highest: Path) -> None:
    while folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        if folder == highest:
            return
        folder = folder.parent
