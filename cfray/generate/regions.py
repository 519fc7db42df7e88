"""Geometry of masks: who is in the picture, growing a mask, and the crop around a small person. Arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from cfray.generate.config import CropConfig

_NEIGHBOURS = np.ones((3, 3), bool)


def dilate(mask: np.ndarray, pixels: int) -> np.ndarray:
    """The mask grown by ``pixels`` in every direction (Euclidean), bool (h, w)."""
    if pixels == 0 or not mask.any():
        return mask
    return ndimage.distance_transform_edt(~mask) <= pixels


def people_in(persons: np.ndarray, faces: np.ndarray, min_share: float) -> list[np.ndarray]:
    """The people of a picture, largest first, as bool (h, w) masks.

    A person is a connected region (8 neighbours) of ``persons``. Where a region holds several faces, people stand before
    each other, and each of its pixels goes to the nearest face.

    Args:
        persons: bool (h, w), whatever belongs to any person.
        faces: bool (h, w), faces, or nothing where the parser has no such label.
        min_share: regions, and faces, smaller than this share of the largest are left out.
    """
    people = []
    heads = _components(faces & persons, min_share)
    for region in _components(persons, min_share):
        inside = [head for head in heads if (head & region).any()]
        if len(inside) < 2:
            people.append(region)
            continue
        distances = np.stack([ndimage.distance_transform_edt(~head) for head in inside])
        people += [region & (distances.argmin(axis=0) == i) for i in range(len(inside))]
    return sorted(people, key=lambda person: -int(person.sum()))


def is_cropped(person: np.ndarray) -> bool:
    """Whether a person, bool (h, w), touches the left, right or top edge; legs below the bottom edge are usual."""
    return bool(person[0].any() or person[:, 0].any() or person[:, -1].any())


def bounding_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """(left, upper, right, lower) of a mask, bool (h, w), right and lower excluded; the whole picture for an empty one."""
    if not mask.any():
        return 0, 0, mask.shape[1], mask.shape[0]
    ys, xs = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def crop_box(mask: np.ndarray, crop: CropConfig | None) -> tuple[int, int, int, int]:
    """The square around a small person, inside the picture, as (left, upper, right, lower); else the whole picture."""
    height, width = mask.shape
    left, upper, right, lower = bounding_box(mask)
    if crop is None or (right - left) * (lower - upper) >= crop.below * height * width:
        return 0, 0, width, height
    longer = max(right - left, lower - upper)
    side = min(round(longer * (1 + 2 * crop.margin)), width, height)
    if side < longer:  # no square inside the picture holds the person
        return 0, 0, width, height
    x = min(max(0, (left + right - side) // 2), width - side)
    y = min(max(0, (upper + lower - side) // 2), height - side)
    return x, y, x + side, y + side


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks, bool (h, w); 1 for two empty ones."""
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0


def _components(mask: np.ndarray, min_share: float) -> list[np.ndarray]:
    labelled, count = ndimage.label(mask, structure=_NEIGHBOURS)
    sizes = np.bincount(labelled.ravel(), minlength=count + 1)[1:]
    return [labelled == i + 1 for i in range(count) if sizes[i] >= min_share * sizes.max()]
