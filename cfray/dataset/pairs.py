"""Reads ordinary pictures and their captions from Parquet files or WebDataset shards."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow.parquet as pq
import torch
from PIL import Image, UnidentifiedImageError

from cfray import storage
from cfray.errors import UserError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass
class Pairs:
    """Encoded pictures in the order of the files, and the captions of each; ``captions`` is empty where none were asked for."""

    place: str
    pictures: list[bytes] = field(default_factory=list)
    captions: list[list[str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.pictures)

    def decode(self, indices, preprocess) -> torch.Tensor:
        """Preprocessed pictures, float32 (n, 3, h, w).

        Raises:
            UserError: if one cannot be decoded.
        """
        return torch.stack([preprocess(self._picture(int(index))) for index in indices])

    def _picture(self, index: int) -> Image.Image:
        try:
            return Image.open(io.BytesIO(self.pictures[index])).convert("RGB")
        except (UnidentifiedImageError, OSError) as error:
            raise UserError(
                f"picture {index} of {self.place!r} cannot be read ({error}); make the files again without it"
            ) from None


def read_pairs(place: str, *, captions: bool, limit: int | None = None) -> Pairs:
    """Pictures, and with ``captions`` their texts, of a folder: all held in memory, still encoded.

    Args:
        place: a folder of Parquet files with a Hugging Face ``Image`` column ``image`` and a column ``caption`` (a text or a
            list of texts), or of WebDataset shards (.tar) with an image and a .txt, one caption per line, for each key.
        limit: read the first pictures only.

    Raises:
        UserError: if there is no such file, a column or shard is not as said, or a picture has no caption.
    """
    pairs = Pairs(place)
    for pictures, texts in _files(place, captions, pictures=True):
        pairs.pictures += pictures
        pairs.captions += texts
        if limit is not None and len(pairs) >= limit:
            pairs.pictures, pairs.captions = pairs.pictures[:limit], pairs.captions[:limit]
            break
    return pairs


def count_pairs(place: str, *, captions: bool) -> int:
    """How many pictures ``read_pairs`` gives, by the files' own indexes: captions are read, pictures are not.

    Raises:
        UserError: as ``read_pairs``.
    """
    return sum(len(pictures) for pictures, _ in _files(place, captions, pictures=False))


def _files(place: str, captions: bool, *, pictures: bool) -> Iterator[tuple[list[bytes], list[list[str]]]]:
    """Pictures and captions of each file that has any; pictures are empty bytes, and captions left out, unless asked for."""
    files, found = sorted(storage.list_files(place)), 0
    for suffix, read in {".parquet": _read_parquet, ".tar": _read_shard}.items():
        for file in files:
            if file.endswith(suffix):
                content = read(file, captions, pictures)
                found += len(content[0])
                yield content
    if not found:
        raise UserError(f"{place!r} has no Parquet file and no .tar shard with pictures; give a folder that has")


def _read_parquet(file: str, captions: bool, pictures: bool) -> tuple[list[bytes], list[list[str]]]:
    filesystem, path = storage.resolve(file)
    with filesystem.open_input_file(path) as stream:
        table = pq.ParquetFile(stream)
        have = table.schema_arrow.names
        for column in ["image", "caption"] if captions else ["image"]:
            if column not in have:
                raise UserError(f"file {file!r} has no column {column!r}; it has {', '.join(have)}")
        found, texts = [b""] * table.metadata.num_rows, []
        if pictures:
            found = [cell["bytes"] for cell in table.read(columns=["image"])["image"].to_pylist()]
        if captions:
            cells = table.read(columns=["caption"])["caption"].to_pylist()
            texts = [[cell] if isinstance(cell, str) else cell for cell in cells]
            _require_captions(file, texts, range(len(texts)))
    return found, texts


def _read_shard(file: str, captions: bool, pictures: bool) -> tuple[list[bytes], list[list[str]]]:
    filesystem, path = storage.resolve(file)
    found: dict[str, bytes] = {}
    texts: dict[str, list[str]] = {}
    try:
        with filesystem.open_input_file(path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                folder, slash, name = member.name.rpartition("/")
                stem, dot, extension = name.partition(".")
                key, suffix = folder + slash + stem, (dot + extension).lower()
                if not member.isfile():
                    continue
                if suffix in IMAGE_SUFFIXES:
                    found[key] = archive.extractfile(member).read() if pictures else b""
                elif suffix == ".txt" and captions:
                    lines = archive.extractfile(member).read().decode().splitlines()
                    texts[key] = [line.strip() for line in lines if line.strip()]
    except tarfile.TarError as error:
        raise UserError(f"shard {file!r} is damaged or compressed: {error}") from None
    of_picture = [texts.get(key, []) for key in found] if captions else []
    if captions:
        _require_captions(file, of_picture, found)
    return list(found.values()), of_picture


def _require_captions(file: str, captions: list[list[str] | None], names) -> None:
    for name, texts in zip(names, captions, strict=True):
        if not texts or not all(texts):
            raise UserError(f"picture {name!r} of {file!r} has no caption; take it out or give it one")
