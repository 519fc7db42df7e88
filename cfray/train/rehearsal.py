"""Rehearsal: ordinary pictures whose embeddings fine-tuning holds where the original model had them."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image, UnidentifiedImageError

from cfray import storage
from cfray.clip.embed import embed_images
from cfray.clip.model import ClipModel
from cfray.errors import UserError


class Rehearsal:
    """The pictures of a place and their embeddings by the model as it is now, before any step.

    Counterfactual sets show people at work and nothing else; what they do not show is what fine-tuning forgets. The loss
    is 1 - cosine between the embedding of a picture now and then, so the pictures need no captions.

    Args:
        place: a folder of Parquet files with a Hugging Face ``Image`` column ``image`` (a struct with ``bytes``).
        clip: the original model; embeds every picture once.
        images_per_step: pictures of a step over all workers.
        rank, workers: of this worker.
        seed: of the draws. Which pictures a step has does not depend on the number of workers.

    Raises:
        UserError: if the place has no such pictures or fewer than a step takes, or one cannot be decoded.
    """

    def __init__(self, place: str, clip: ClipModel, *, images_per_step: int, rank: int, workers: int, seed: int):
        self._encoded = read_pictures(place)
        if len(self._encoded) < images_per_step:
            raise UserError(
                f"rehearsal.images_per_step={images_per_step}, and {place!r} has {len(self._encoded)} pictures; lower it"
            )
        self._preprocess, self._per_step, self._seed = clip.preprocess, images_per_step, seed
        self._share = slice(rank, None, workers)
        self.original = torch.cat(
            [embed_images(clip, self._decode(range(start, min(start + 256, len(self))))) for start in range(0, len(self), 256)]
        )

    def __len__(self) -> int:
        return len(self._encoded)

    def draw(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """This worker's pictures of ``step``, float32 (n, 3, h, w), and their original embeddings (n, d)."""
        chosen = np.random.default_rng((self._seed, step, 2)).choice(len(self), size=self._per_step, replace=False)[self._share]
        return self._decode(chosen), self.original[chosen]

    def _decode(self, indices) -> torch.Tensor:
        return torch.stack([_decode(self._encoded[i], i, self._preprocess) for i in indices])


def read_pictures(place: str) -> list[bytes]:
    """The encoded pictures of the column ``image`` of all Parquet files of a folder, in order of file names.

    Raises:
        UserError: if there is no Parquet file, or one lacks that column.
    """
    files = [file for file in sorted(storage.list_files(place)) if file.endswith(".parquet")]
    if not files:
        raise UserError(f"rehearsal.data={place!r} has no Parquet file; give a folder of Parquet files with a column 'image'")
    pictures: list[bytes] = []
    for file in files:
        table = pq.read_table(io.BytesIO(storage.read_bytes(file)))
        if "image" not in table.column_names:
            raise UserError(f"rehearsal file {file!r} has no column 'image'; it has {', '.join(table.column_names)}")
        pictures += [cell["bytes"] for cell in table["image"].to_pylist()]
    return pictures


def _decode(encoded: bytes, index: int, preprocess: Callable[[Image.Image], torch.Tensor]) -> torch.Tensor:
    try:
        return preprocess(Image.open(io.BytesIO(encoded)).convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise UserError(f"rehearsal picture {index} cannot be read ({error}); make the files again without it") from None
