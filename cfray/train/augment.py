"""Random changes of pictures that are the same for all images of a set, so that they still differ in the person only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from cfray.train.config import AugmentConfig

_COLOR = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


class Change(NamedTuple):
    """A crop as (left, upper, side) in fractions of the picture, whether it is mirrored, and factors of ``_COLOR``."""

    crop: tuple[float, float, float]
    mirrored: bool
    color: tuple[float, ...]


def augment(config: AugmentConfig, pictures: list[Image.Image], rng: np.random.Generator) -> list[Image.Image]:
    """The images of one set, changed alike or, with ``config.alike`` false, each for itself; sizes stay."""
    changes = [draw_change(config, rng)] * len(pictures) if config.alike else [draw_change(config, rng) for _ in pictures]
    return [apply_change(picture, change) for picture, change in zip(pictures, changes, strict=True)]


def draw_change(config: AugmentConfig, rng: np.random.Generator) -> Change:
    side = float(np.sqrt(rng.uniform(config.crop_area, 1.0)))
    left, upper = (float(rng.uniform(0, 1 - side)) for _ in range(2))
    mirrored = bool(rng.random() < config.flip_share)
    return Change((left, upper, side), mirrored, tuple(float(rng.uniform(1 - config.color, 1 + config.color)) for _ in _COLOR))


def apply_change(picture: Image.Image, change: Change) -> Image.Image:
    left, upper, side = change.crop
    width, height = picture.size
    if side < 1:
        box = (left * width, upper * height, (left + side) * width, (upper + side) * height)
        picture = picture.resize(picture.size, Image.Resampling.BICUBIC, box=box)
    if change.mirrored:
        picture = ImageOps.mirror(picture)
    for enhance, factor in zip(_COLOR, change.color, strict=True):
        if factor != 1:
            picture = enhance(picture).enhance(factor)
    return picture
