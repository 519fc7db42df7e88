"""The inputs of a classifier in batches: cached features, or images decoded and augmented as they are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image

from cfray.dataset.schema import derived_seed
from cfray.evaluate.images import Picture, decode
from cfray.groups.augmentation import counterfactual_images, sources_of
from cfray.groups.classifier import plain_transform, standard_augmentation
from cfray.groups.config import ClassifyConfig
from cfray.groups.inputs import Inputs
from cfray.groups.samples import read_samples

_PART = 256


class FrozenFeatures:
    """Batches of cached features (b, d); numbers beyond the training samples are extras, which are augmented already."""

    def __init__(self, inputs: Inputs):
        self._features = inputs.features
        pool = [inputs.features["train"], *([inputs.features["extras"]] if "extras" in inputs.features else [])]
        self._pool = torch.cat(pool)
        self.dimensions = self._pool.shape[1]

    def batch(self, chosen: np.ndarray, standard: np.ndarray, seed: tuple[int, ...]) -> torch.Tensor:
        return self._pool[chosen]

    def parts(self, split: str) -> Iterator[torch.Tensor]:
        yield self._features[split]


class Images:
    """Batches of images, float32 (b, 3, size, size), decoded by several threads; standard augmentation is drawn anew."""

    dimensions = None

    def __init__(self, config: ClassifyConfig, inputs: Inputs, classes: list[str], *, threads: int = 4):
        samples, _ = read_samples(config)
        self._plain, self._augment = plain_transform(config.backbone.size), standard_augmentation()
        self._pictures = {split: found.take(inputs.rows[split].numpy()).gallery.pictures for split, found in samples.items()}
        self._pool: list[Picture | bytes] = list(self._pictures["train"])
        if "counterfactuals" in sources_of(config):
            self._pool += counterfactual_images(config.counterfactuals, classes)[0]
        self._threads = ThreadPoolExecutor(threads)

    def batch(self, chosen: np.ndarray, standard: np.ndarray, seed: tuple[int, ...]) -> torch.Tensor:
        """Inputs of the training samples and extras ``chosen``; those where ``standard`` is set are augmented."""
        images = self._threads.map(_read, [self._pool[i] for i in chosen])
        torch.manual_seed(derived_seed(*seed))  # torchvision draws its augmentations from the global generator
        return torch.stack([self._plain(self._augment(i) if flag else i) for i, flag in zip(images, standard, strict=True)])

    def parts(self, split: str) -> Iterator[torch.Tensor]:
        """The inputs of a split in order, ``_PART`` at a time."""
        pictures = self._pictures[split]
        for start in range(0, len(pictures), _PART):
            images = self._threads.map(lambda picture: self._plain(_read(picture)), pictures[start : start + _PART])
            yield torch.stack(list(images))


def _read(picture: Picture | bytes) -> Image.Image:
    return decode(picture) if isinstance(picture, bytes) else decode(picture.read(), picture.box)
