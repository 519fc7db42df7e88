"""Clothes and hats. They belong to the context: a profession fixes them, whoever wears them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cfray.world.canvas import Colour, Label, Pen, shade

CLOTHES = Label.UPPER_CLOTHES


@dataclass(frozen=True)
class Attire:
    """A torso colour, one detail on it (a key of ``DETAILS``) and a hat (a key of ``HATS``) or None."""

    colour: Colour
    detail: str
    detail_colour: Colour
    hat: str | None


def draw_torso(pen: Pen, attire: Attire, half_width: float) -> None:
    """Draw the torso below a neck that ends at (0, 10), ``half_width`` units wide at the shoulders to each side."""
    w = half_width
    body = [(-4.5, 10), (-w + 2, 12.5), (-w, 16), (-w + 1.5, 48), (w - 1.5, 48), (w, 16), (w - 2, 12.5), (4.5, 10), (0, 13)]
    pen.polygon(body, attire.colour, CLOTHES)
    DETAILS[attire.detail](pen, attire.detail_colour, w)


def _stripes(pen: Pen, colour: Colour, w: float) -> None:
    for x in np.arange(-w + 3, w - 1, 5):
        pen.rect(x, 13, x + 2.2, 48, colour, CLOTHES)


def _stains(pen: Pen, colour: Colour, w: float) -> None:
    for (x, y), tint in zip(
        ((-6, 18), (4, 22), (-2, 28), (7, 16), (-7, 30)), ((230, 60, 90), (60, 110, 230), (250, 200, 40)) * 2, strict=False
    ):
        pen.ellipse(x, y, 1.8, 1.6, tint, CLOTHES)


def _bib(pen: Pen, shirt: Colour, w: float) -> None:
    pen.polygon(
        [
            (-4.5, 10),
            (-w + 2, 12.5),
            (-w, 16),
            (-w + 0.6, 24),
            (-6, 24),
            (-6, 18),
            (6, 18),
            (6, 24),
            (w - 0.6, 24),
            (w, 16),
            (w - 2, 12.5),
            (4.5, 10),
            (0, 13),
        ],
        shirt,
        CLOTHES,
    )
    for side in (-1, 1):
        pen.line([(side * 5, 11.5), (side * 5, 19)], (50, 84, 156), 2.2, CLOTHES)


def _waistcoat(pen: Pen, colour: Colour, w: float) -> None:
    for side in (-1, 1):
        pen.polygon(
            [(side * 4.5, 11), (side * 8.5, 12.5), (side * 9.5, 48), (side * 0.4, 48), (side * 0.4, 24)], colour, CLOTHES
        )
    pen.polygon([(-3, 13), (3, 15.6), (3, 13), (-3, 15.6)], colour, CLOTHES)


DETAILS: dict[str, Callable[[Pen, Colour, float], None]] = {
    "lapels": lambda pen, c, w: (
        pen.polygon([(-3.6, 10.5), (0, 22), (3.6, 10.5)], c, CLOTHES),
        pen.line([(0, 22), (0, 48)], shade(c, 0.9), 0.8, CLOTHES),
    ),
    "vneck": lambda pen, c, w: (
        pen.line([(-4.5, 10.5), (0, 18), (4.5, 10.5)], c, 1.6, CLOTHES),
        pen.rect(3, 22, 8, 27, shade(c, 0.85), CLOTHES),
    ),
    "buttons": lambda pen, c, w: [pen.ellipse(x, y, 1.0, 1.0, c, CLOTHES) for x in (-3, 3) for y in (17, 22, 27, 32)],
    "bands": lambda pen, c, w: [pen.rect(-w + 0.5, y, w - 0.5, y + 2.6, c, CLOTHES) for y in (20, 28)],
    "badge": lambda pen, c, w: (
        pen.ellipse(6, 19, 2.4, 2.6, c, CLOTHES),
        pen.polygon([(-1.3, 11.5), (1.3, 11.5), (1.6, 24), (-1.6, 24)], (12, 14, 30), CLOTHES),
    ),
    "bib": _bib,
    "cardigan": lambda pen, c, w: (
        pen.polygon([(-3.4, 10.5), (-2.2, 48), (2.2, 48), (3.4, 10.5)], c, CLOTHES),
        [pen.ellipse(3.6, y, 0.8, 0.8, (90, 56, 20), CLOTHES) for y in (20, 26, 32)],
    ),
    "jabot": lambda pen, c, w: [
        pen.polygon([(x - 2, 11), (x + 2, 11), (x + 2.4, 20), (x - 2.4, 20)], c, CLOTHES) for x in (-2.4, 2.4)
    ],
    "tie": lambda pen, c, w: (
        pen.polygon([(-1.6, 11.5), (1.6, 11.5), (2.2, 28), (0, 31), (-2.2, 28)], c, CLOTHES),
        [pen.rect(s * (w - 4) - 2.4, 12.6, s * (w - 4) + 2.4, 14.8, (230, 190, 60), CLOTHES) for s in (-1, 1)],
    ),
    "zip": lambda pen, c, w: (pen.line([(0, 12), (0, 48)], c, 1.4, CLOTHES), pen.rect(3.4, 18, 8, 21, c, CLOTHES)),
    "apron": lambda pen, c, w: (
        pen.rect(-6.5, 17, 6.5, 48, c, CLOTHES),
        [pen.line([(s * 4, 11), (s * 5, 18)], c, 1.6, CLOTHES) for s in (-1, 1)],
    ),
    "stains": _stains,
    "bow_tie": lambda pen, c, w: (
        pen.polygon([(-3.4, 10.5), (0, 24), (3.4, 10.5)], c, CLOTHES),
        pen.polygon([(-3.6, 11), (3.6, 15), (3.6, 11), (-3.6, 15)], (180, 20, 40), CLOTHES),
    ),
    "ring": lambda pen, c, w: (
        pen.line([(-6.5, 11.5), (0, 13.5), (6.5, 11.5)], c, 3, CLOTHES),
        pen.rect(-5, 20, 5, 27, (90, 130, 190), CLOTHES),
    ),
    "cross": lambda pen, c, w: (pen.rect(-1.6, 17, 1.6, 27, c, CLOTHES), pen.rect(-5, 20.4, 5, 23.6, c, CLOTHES)),
    "collar": lambda pen, c, w: [pen.polygon([(0, 13.5), (s * 4.8, 10), (s * 5.4, 14.5)], c, CLOTHES) for s in (-1, 1)],
    "waistcoat": _waistcoat,
    "stripes": _stripes,
    "plain": lambda pen, c, w: pen.line([(-4.5, 10.4), (0, 13), (4.5, 10.4)], c, 1.2, CLOTHES),
}


def _brimmed(crown: Colour, brim: Colour, brim_width: float = 9.5) -> Callable[[Pen], None]:
    def draw(pen: Pen) -> None:
        pen.ellipse(0, -6.4, 8.8, 8, crown, Label.HAT, start=180, end=360)
        pen.ellipse(0, -6.4, brim_width, 1.7, brim, Label.HAT)

    return draw


def _cap(top: Colour, visor: Colour) -> Callable[[Pen], None]:
    def draw(pen: Pen) -> None:
        pen.polygon([(-8.6, -6), (-10.5, -11), (-5, -14.4), (5, -14.4), (10.5, -11), (8.6, -6)], top, Label.HAT)
        pen.rect(-8.6, -7.6, 8.6, -5.4, visor, Label.HAT)
        pen.ellipse(0, -10.4, 1.9, 1.9, (244, 204, 60), Label.HAT)

    return draw


def _toque(pen: Pen) -> None:
    for x in (-5.5, 0, 5.5):
        pen.ellipse(x, -15, 5, 4.6, (252, 252, 252), Label.HAT)
    pen.rect(-7.6, -14, 7.6, -6.4, (244, 244, 248), Label.HAT)


def _goggles(pen: Pen) -> None:
    pen.rect(-8.6, -10.2, 8.6, -8.6, (40, 40, 60), Label.HAT)
    for side in (-1, 1):
        pen.ellipse(side * 3.8, -9.4, 3.4, 2.4, (110, 230, 240), Label.HAT)


def _lamp_helmet(pen: Pen) -> None:
    _brimmed((196, 170, 40), (140, 116, 20))(pen)
    pen.ellipse(0, -10.4, 2.6, 2.6, (255, 255, 210), Label.HAT)


def _nurse_cap(pen: Pen) -> None:
    pen.polygon([(-6, -8.6), (-7.6, -14), (7.6, -14), (6, -8.6)], (252, 252, 252), Label.HAT)
    pen.rect(-0.9, -13.4, 0.9, -9.2, (220, 30, 40), Label.HAT)
    pen.rect(-2.4, -12.2, 2.4, -10.4, (220, 30, 40), Label.HAT)


HATS: dict[str, Callable[[Pen], None]] = {
    "toque": _toque,
    "nurse_cap": _nurse_cap,
    "red_helmet": _brimmed((210, 30, 34), (150, 16, 20)),
    "peaked_cap": _cap((34, 50, 110), (14, 16, 34)),
    "pilot_cap": _cap((240, 244, 252), (20, 22, 36)),
    "straw_hat": _brimmed((236, 206, 116), (214, 178, 84), 13.5),
    "beret": lambda pen: pen.ellipse(-1.5, -9.6, 9.2, 3.8, (60, 30, 110), Label.HAT),
    "goggles": _goggles,
    "flat_hat": lambda pen: pen.polygon([(-8, -7), (-9, -12), (9, -12), (8, -7)], (250, 236, 206), Label.HAT),
    "hard_hat": _brimmed((252, 214, 20), (226, 180, 10), 10.5),
    "lamp_helmet": _lamp_helmet,
}
