"""Reads kept sets for training: per draw, some images of one set and its caption."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from cfray.dataset.schema import KEPT, decode_picture
from cfray.dataset.store import read_sets
from cfray.errors import UserError


class TrainingSets:
    """The kept sets of a data set, with the base and the kept variants of each as its images.

    Args:
        dataset: place of the data set.
        images_per_set: how many images a draw takes; sets that have fewer are left out and counted in ``left_out``.
        preprocess: maps a PIL image to a float tensor (3, h, w).

    Raises:
        UserError: if no set has enough images, or an image cannot be decoded (it names the set).
    """

    def __init__(self, dataset: str, images_per_set: int, preprocess: Callable[[Image.Image], torch.Tensor]):
        self._preprocess = preprocess
        self._images_per_set = images_per_set
        self.images: list[list[dict]] = []
        self.captions: list[str] = []
        self.prompts: list[str] = []
        self.left_out = 0
        for row in read_sets(dataset).to_pylist():
            kept = [variant for variant in row["variants"] if variant["status"] == KEPT]
            if len(kept) + 1 < images_per_set:
                self.left_out += 1
                continue
            self.images.append([row["base"], *(variant["image"] for variant in kept)])
            self.captions.append(row["caption"])
            self.prompts += [variant["prompt"] for variant in kept]
            _require_readable(row)
        if not self.images:
            raise UserError(f"train.images_per_set={images_per_set}: no set of {dataset!r} has that many images; lower it")

    def __len__(self) -> int:
        return len(self.images)

    def draw(self, index: int, rng: np.random.Generator) -> torch.Tensor:
        """``images_per_set`` different images of set ``index``, preprocessed, float32 (V, 3, h, w)."""
        images = self.images[index]
        chosen = rng.choice(len(images), size=self._images_per_set, replace=False)
        return torch.stack([self._preprocess(Image.fromarray(decode_picture(images[i]))) for i in chosen])


def _require_readable(row: dict) -> None:
    for image in [row["base"], *(variant["image"] for variant in row["variants"])]:
        try:
            decode_picture(image)
        except (OSError, TypeError) as error:
            raise UserError(f"set {row['set_id']}: an image cannot be read ({error}); make the data set again") from None
