"""Reads kept sets for training: per draw, some images of one set and its caption."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from cfray.dataset.schema import KEPT, decode_mask, decode_picture
from cfray.dataset.store import read_sets
from cfray.errors import UserError


class TrainingSets:
    """The kept sets of a data set, with the base and the kept variants of each as its images.

    Args:
        dataset: place of the data set.
        images_per_set: how many images a draw takes, 1 for the base alone; sets that have fewer are left out and counted in
            ``left_out``.
        preprocess: maps a PIL image to a float tensor (3, h, w).
        zoom_share: share of draws that are cropped around the person, all images of the set alike, so that the images
            of a draw still differ in the person only. Close-ups are what portraits look like, and painted scenes lack.
        augment: further random changes of the images of a draw.

    Raises:
        UserError: if no set has enough images, or an image is none (it names the set).
    """

    def __init__(
        self,
        dataset: str,
        images_per_set: int,
        preprocess: Callable[[Image.Image], torch.Tensor],
        *,
        zoom_share: float = 0.0,
        augment: Callable[[list[Image.Image], np.random.Generator], list[Image.Image]] | None = None,
    ):
        self._preprocess = preprocess
        self._zoom_share = zoom_share
        self._augment = augment
        self._images_per_set = images_per_set
        self.images: list[list[dict]] = []
        self.captions: list[str] = []
        self.concepts: list[str] = []
        self.prompts: list[str] = []
        self._masks: list[dict] = []
        self.left_out = 0
        for row in read_sets(dataset).to_pylist():
            kept = [variant for variant in row["variants"] if variant["status"] == KEPT]
            if len(kept) + 1 < images_per_set:
                self.left_out += 1
                continue
            _require_readable(row)
            self.images.append([row["base"], *(variant["image"] for variant in kept)])
            self.captions.append(row["caption"])
            self.concepts.append(row["concept"])
            self._masks.append(row["mask"])
            self.prompts += [variant["prompt"] for variant in kept]
        if not self.images:
            raise UserError(f"train.images_per_set={images_per_set}: no set of {dataset!r} has that many images; lower it")

    def __len__(self) -> int:
        return len(self.images)

    def draw(self, index: int, rng: np.random.Generator) -> torch.Tensor:
        """``images_per_set`` different images of set ``index``, its base for 1, preprocessed, float32 (V, 3, h, w)."""
        images = self.images[index]
        chosen = rng.choice(len(images), size=self._images_per_set, replace=False) if self._images_per_set > 1 else [0]
        pictures = [Image.fromarray(decode_picture(images[i])) for i in chosen]
        if rng.random() < self._zoom_share:
            box = crop_box(_centre(decode_mask(self._masks[index])), pictures[0].size, rng)
            pictures = [picture.resize(picture.size, Image.Resampling.BICUBIC, box=box) for picture in pictures]
        if self._augment is not None:
            pictures = self._augment(pictures, rng)
        return torch.stack([self._preprocess(picture) for picture in pictures])

    def whole(self, index: int) -> torch.Tensor:
        """All images of set ``index``, uncropped and preprocessed, float32 (n, 3, h, w)."""
        return torch.stack([self._preprocess(Image.fromarray(decode_picture(image))) for image in self.images[index]])


def crop_box(centre: tuple[float, float], size: tuple[int, int], rng: np.random.Generator) -> tuple[float, float, float, float]:
    """A random crop of 35 to 100 % of each side around a point, inside the picture: (left, upper, right, lower) in pixels.

    Args:
        centre: (x, y) as fractions of the picture's width and height.
        size: (width, height) in pixels.
        rng: moves the crop by up to 8 % of the side and chooses its size.
    """
    side = rng.uniform(0.35, 1.0)
    low = [float(np.clip(c + rng.uniform(-0.08, 0.08), side / 2, 1 - side / 2)) - side / 2 for c in centre]
    left, upper = low[0] * size[0], low[1] * size[1]
    return left, upper, left + side * size[0], upper + side * size[1]


def _centre(mask: np.ndarray) -> tuple[float, float]:
    """The median point of a mask (h, w) as fractions (x, y); the middle of the picture for an empty one."""
    ys, xs = np.nonzero(mask)
    return (float(np.median(xs)) / mask.shape[1], float(np.median(ys)) / mask.shape[0]) if len(xs) else (0.5, 0.5)


def _require_readable(row: dict) -> None:
    for image in [row["base"], row["mask"], *(variant["image"] for variant in row["variants"])]:
        try:
            # Checksums, not pixels: decoding a large data set once more would take hours.
            Image.open(io.BytesIO(image["bytes"])).verify()
        except (OSError, TypeError, SyntaxError) as error:
            raise UserError(f"set {row['set_id']}: an image cannot be read ({error}); make the data set again") from None
