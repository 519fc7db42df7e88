"""The images of a gallery: files, members of tar archives, cells of Parquet files; found without reading them, decoded late."""

from __future__ import annotations

import hashlib
import io
import threading
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import pyarrow.parquet as pq
from PIL import Image
from pyarrow import fs

from cfray import s3, storage
from cfray.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
PART = 1024
"""Images that are embedded and written as a whole: what an interrupted run can lose, and what is shared out to workers."""
Box = tuple[float, float, float, float]


class UnreadableError(Exception):
    """The bytes of an image cannot be decoded; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image that is a file of its own.

    ``name`` is what reports call it. ``stamp`` changes when the file does (its size and time of modification). ``box`` cuts
    (x, y, width, height) out of it, in pixels.
    """

    name: str
    place: str
    stamp: str
    box: Box | None = None

    def read(self) -> bytes:
        return storage.read_bytes(self.place)


@dataclass(frozen=True, kw_only=True)
class TarPicture(Picture):
    """An image that is a member of an uncompressed tar archive: ``size`` bytes from ``offset``."""

    offset: int
    size: int

    def read(self) -> bytes:
        return s3.retrying(lambda: _open(self.place).read_at(self.size, self.offset))


@dataclass(frozen=True, kw_only=True)
class ParquetPicture(Picture):
    """An image in a Parquet file, as bytes or as the struct {bytes, path} of Hugging Face ``datasets``."""

    column: str
    group: int
    row: int

    def read(self) -> bytes:
        # The pictures of a row group are read one after the other by several threads; without the lock each would read it.
        with _ROW_GROUP_LOCK:
            cell = s3.retrying(lambda: _row_group(self.place, self.group, self.column))[self.row].as_py()
        return (cell.get("bytes") if isinstance(cell, dict) else cell) or b""


@dataclass(frozen=True)
class Gallery:
    """Images in a fixed order, under a name that ends up in the name of the cache file."""

    name: str
    pictures: tuple[Picture, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.pictures)

    def parts(self) -> list[Gallery]:
        """The gallery in runs of ``PART`` images: what is embedded and kept as a whole."""
        return [Gallery(self.name, self.pictures[start : start + PART]) for start in range(0, len(self.pictures), PART)]

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change when an image is added, moved, changed or cropped otherwise."""
        digest = hashlib.blake2b(digest_size=8)
        for picture in self.pictures:
            digest.update(f"{picture.name}\0{picture.stamp}\0{picture.box}\n".encode())
        return digest.hexdigest()


def stat(place: str) -> str:
    """The stamp of a file: size and time of modification.

    Raises:
        UserError: if there is no such file.
    """
    filesystem, path = storage.resolve(place)
    info = filesystem.get_file_info(path)
    if info.type != fs.FileType.File:
        raise UserError(f"file {place!r} not found")
    return _stamp(info)


def list_images(folder: str) -> dict[str, Picture]:
    """The image files below a folder by their path relative to it, in order of that path. Files that begin with a dot and
    files without an image's suffix are passed over.

    Raises:
        UserError: if there is no such folder.
    """
    filesystem, root = storage.resolve(folder)
    if filesystem.get_file_info(root).type != fs.FileType.Directory:
        raise UserError(f"image folder {folder!r} not found")
    root = root.rstrip("/")
    scheme = folder.partition("://")[0] + "://" if storage.is_remote(folder) else ""
    found = {}
    for info in sorted(filesystem.get_file_info(fs.FileSelector(root, recursive=True)), key=lambda info: info.path):
        if info.type == fs.FileType.File and not info.base_name.startswith(".") and info.base_name.lower().endswith(SUFFIXES):
            name = info.path[len(root) + 1 :]
            found[name] = Picture(name=name, place=scheme + info.path, stamp=_stamp(info))
    return found


def decode(content: bytes, box: Box | None = None) -> Image.Image:
    """An RGB image from an encoded one, cut to ``box`` where given.

    Raises:
        UnreadableError: if the bytes are no image, a part of one is missing, or the box lies outside of it.
    """
    try:
        image = Image.open(io.BytesIO(content)).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableError(str(error).splitlines()[0].replace(f"{io.BytesIO.__module__}.", "")) from None
    if box is None:
        return image
    x, y, width, height = box
    left, top = max(0, round(x)), max(0, round(y))
    right, bottom = min(image.width, round(x + width)), min(image.height, round(y + height))
    if left >= right or top >= bottom:
        raise UnreadableError(f"box {box} lies outside of an image of {image.width} x {image.height}")
    return image.crop((left, top, right, bottom))


def _stamp(info: fs.FileInfo) -> str:
    return f"{info.size}-{info.mtime_ns}"


@lru_cache(maxsize=64)
def _open(place: str) -> Any:
    filesystem, path = storage.resolve(place)
    return filesystem.open_input_file(path)


_ROW_GROUP_LOCK = threading.Lock()


@lru_cache(maxsize=2)
def _row_group(place: str, group: int, column: str) -> Any:
    return pq.ParquetFile(_open(place)).read_row_group(group, columns=[column]).column(0)
