"""One way to name a place: a local path or an ``s3://bucket/key`` URI.

Files are read and written through ``pyarrow.fs``; ``cfray.s3`` says what goes through boto3, where credentials come from and
what is repeated.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from pyarrow import fs

from cfray import s3
from cfray.errors import UserError
from cfray.full import full_as_usererror

CHECKSUMS = "SHA256SUMS"


def is_remote(place: str) -> bool:
    return "://" in place


def resolve(place: str) -> tuple[fs.FileSystem, str]:
    """The file system of a place and the path in it; local paths become absolute.

    Raises:
        UserError: if the scheme is another than s3, or the bucket cannot be reached.
    """
    if not is_remote(place):
        return fs.LocalFileSystem(), os.path.abspath(place)
    if not place.startswith(s3.SCHEME):
        raise UserError(f"place {place!r} has a scheme that cannot be read; use a local path or s3://bucket/key")
    return s3.filesystem(place), place.removeprefix(s3.SCHEME)


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

    def read() -> bytes:
        with filesystem.open_input_stream(path) as stream:
            return stream.read()

    try:
        return s3.retrying(read)
    except FileNotFoundError:
        raise UserError(f"file {place!r} not found") from None


def write_bytes(place: str, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part.

    A local file is written beside its name and renamed; an S3 object appears when its upload is complete.

    Raises:
        UserError: if the disk or the bucket is full or a quota is used up.
    """
    filesystem, path = resolve(place)
    if is_remote(place):
        with full_as_usererror(place), filesystem.open_output_stream(path) as stream:
            stream.write(content)
    else:
        _write_local(Path(path), lambda partial: partial.write_bytes(content))


def list_files(place: str, suffix: str = "") -> Iterator[str]:
    """Places of the files below ``place`` whose names end in ``suffix``, in order of their paths; none if there is no
    such folder.

    Held in memory are a page of S3's listing, or the names in one local folder. Names that begin with a dot are passed
    over: they are files still being written.
    """
    files = _list_local(os.path.abspath(place)) if not is_remote(place) else s3.list_files(place)
    for file in files:
        name = file.rpartition("/")[2]
        if name.endswith(suffix) and not name.startswith("."):
            yield file


def remove(place: str) -> None:
    """Delete a file; nothing happens if it is not there."""
    if is_remote(place):
        s3.remove(place)
    else:
        Path(place).unlink(missing_ok=True)


def upload_folder(folder: Path, place: str) -> None:
    """Copy every file of a local folder to ``place``, each whole or not at all, and their checksums after them.

    Raises:
        UserError: if there is no room left.
    """
    remove(join(place, CHECKSUMS))  # until the new ones are there, what lies there is no complete folder
    for file in _files_in(folder):
        target = join(place, file.relative_to(folder).as_posix())
        if is_remote(place):
            s3.upload(str(file), target)
        else:
            _write_local(Path(target), lambda partial, file=file: shutil.copyfile(file, partial))
    write_bytes(join(place, CHECKSUMS), _checksums(folder))


def download_folder(place: str, folder: Path) -> Path:
    """Copy every file below ``place`` into a local folder and return it.

    Raises:
        UserError: if there is no file below ``place``, one would come to lie outside of ``folder``, or the checksums say
            that one is damaged.
    """
    empty = True
    for file in list_files(place):
        empty = False
        target = folder / file.removeprefix(absolute(place).rstrip("/") + "/")
        # A key of S3 is any string.
        if not target.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"file {file!r} points out of its folder {place!r}; delete it or give another folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        if is_remote(place):
            s3.download(file, str(target))
        else:
            shutil.copyfile(file, target)
    if empty:
        raise UserError(f"folder {place!r} is empty or not found")
    verify_folder(folder, place)
    return folder


def write_checksums(folder: Path) -> None:
    """Write SHA-256 of every file of a local folder into it, in the lines that ``sha256sum --check`` reads."""
    write_bytes(str(folder / CHECKSUMS), _checksums(folder))


def verify_folder(folder: Path, place: str | None = None) -> None:
    """Compare a local folder with the checksums in it. A folder that has none, as one made elsewhere, passes.

    Raises:
        UserError: naming a file that is missing or has changed; ``place`` is what the folder is called there.
    """
    if not (folder / CHECKSUMS).is_file():
        return
    for line in (folder / CHECKSUMS).read_text().splitlines():
        digest, _, name = line.partition("  ")
        if not (folder / name).is_file():
            raise UserError(f"folder {place or str(folder)!r} has no {name}, which its {CHECKSUMS} names; write it again")
        if _sha256(folder / name) != digest:
            raise UserError(f"file {join(place or str(folder), name)!r} is damaged: its {CHECKSUMS} differs; write it again")


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


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)


def _checksums(folder: Path) -> bytes:
    return "".join(f"{_sha256(file)}  {file.relative_to(folder).as_posix()}\n" for file in _files_in(folder)).encode()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _list_local(folder: str) -> Iterator[str]:
    """Files below a folder in the order that S3 lists them: by the whole path, in which a folder ends in a slash."""
    if not Path(folder).is_dir():
        return
    with os.scandir(folder) as entries:
        names = sorted(entry.name + "/" if entry.is_dir() else entry.name for entry in entries)
    for name in names:
        if name.endswith("/"):
            yield from _list_local(join(folder, name[:-1]))
        else:
            yield join(folder, name)


def _write_local(target: Path, write: Callable[[Path], object]) -> None:
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")
    try:
        with full_as_usererror(str(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            write(partial)
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


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
