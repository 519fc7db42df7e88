"""Counterfactual sets as the page shows them: images embedded as data URIs, small ones enlarged without smoothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from cfray.report.words import plain

_SHOWN_WIDTH = 128  # CSS pixels; 2x for the 64-pixel images of the embedded world
_STORED_WIDTH = 256  # wider images are scaled down, so that 1024-pixel photographs do not make a page of 100 MB


class GalleryVariant(NamedTuple):
    """One counterfactual: PNG bytes (empty if none was made), the appearance asked for in words, and its status."""

    image: bytes
    attributes: str
    status: str


@dataclass(frozen=True)
class GallerySet:
    """One counterfactual set to show. ``base`` and ``mask`` are PNG bytes; ``variants`` may be plain 3-tuples."""

    caption: str
    concept: str
    base: bytes
    mask: bytes
    variants: Sequence[GalleryVariant | tuple[bytes, str, str]] = field(default_factory=tuple)


class Picture(NamedTuple):
    """An image ready for ``<img>``: a data URI, the CSS width, and whether its pixels are to stay square."""

    uri: str
    width: int
    pixelated: bool


class Card(NamedTuple):
    """A set ready for the template; each variant is (picture or None, words, status in words, kept)."""

    caption: str
    concept: str
    base: Picture
    mask: Picture
    variants: list[tuple[Picture | None, str, str, bool]]


def gallery_cards(gallery: Sequence[GallerySet]) -> list[Card]:
    """Embed the images of every set; a ValueError names the set and the image that cannot be read."""
    return [_card(one, f"set {i} ({one.concept})") for i, one in enumerate(gallery)]


def _card(one: GallerySet, where: str) -> Card:
    variants = []
    for i, (image, words, status) in enumerate(one.variants):
        picture = _picture(image, f"variant {i} of {where}") if image else None
        variants.append((picture, words, _status_words(status), status == "kept"))
    base, mask = _picture(one.base, f"base of {where}"), _picture(one.mask, f"mask of {where}")
    return Card(one.caption, one.concept, base, mask, variants)


def _picture(png: bytes, where: str) -> Picture:
    try:
        with Image.open(io.BytesIO(png)) as image:
            width = image.width
            if width > _STORED_WIDTH:
                image.load()
                image.thumbnail((_STORED_WIDTH, _STORED_WIDTH * image.height // width))
                buffer = io.BytesIO()
                image.save(buffer, "PNG")
                png = buffer.getvalue()
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{where}: {len(png)} bytes are not a readable PNG; write the page without it") from error
    # Whole multiples only: 64 pixels at 2x stay sharp, 64 pixels at 2.1x do not.
    shown = width * (_SHOWN_WIDTH // width) if width <= _SHOWN_WIDTH else _SHOWN_WIDTH
    return Picture(f"data:image/png;base64,{base64.b64encode(png).decode()}", shown, width <= _SHOWN_WIDTH)


def _status_words(status: str) -> str:
    kind, _, why = status.partition(":")
    return f"{kind}: {plain(why)}" if why else kind
