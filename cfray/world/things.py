"""Things without people: 24 classes, drawn small, turned, recoloured and half hidden, for zero-shot accuracy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cfray.world.canvas import Canvas, Colour, Pen, shade

THINGS: dict[str, Callable[[Pen, Colour], None]] = {}

GREEN, BROWN, DARK, WHITE = (60, 150, 60), (120, 76, 40), (40, 40, 46), (246, 246, 246)


def _thing(painter: Callable[[Pen, Colour], None]) -> Callable[[Pen, Colour], None]:
    THINGS[painter.__name__.replace("_", " ")] = painter
    return painter


@_thing
def apple(pen: Pen, c: Colour) -> None:
    pen.ellipse(-3, 2, 7, 9, c)
    pen.ellipse(3, 2, 7, 9, c)
    pen.line([(0, -6), (2, -12)], BROWN, 1.6)
    pen.ellipse(5, -10, 3.4, 1.8, GREEN)


@_thing
def cherry(pen: Pen, c: Colour) -> None:
    for x in (-6, 6):
        pen.line([(x, 4), (1, -11)], GREEN, 1.3)
        pen.ellipse(x, 7, 5, 5, c)


@_thing
def pear(pen: Pen, c: Colour) -> None:
    pen.ellipse(0, 5, 8, 7.5, c)
    pen.ellipse(0, -4, 4.6, 6.5, c)
    pen.line([(0, -9), (1, -13)], BROWN, 1.6)


@_thing
def mushroom(pen: Pen, c: Colour) -> None:
    pen.rect(-3, 0, 3, 12, (240, 230, 210))
    pen.ellipse(0, 1, 11, 11, c, start=180, end=360)
    for x, y in ((-5, -3), (1, -6), (6, -2)):
        pen.ellipse(x, y, 1.7, 1.7, WHITE)


@_thing
def umbrella(pen: Pen, c: Colour) -> None:
    pen.ellipse(0, 0, 12, 11, c, start=180, end=360)
    pen.line([(0, 0), (0, 11), (3, 12)], DARK, 1.4)
    for x in (-8, 0, 8):
        pen.ellipse(x, 0, 4, 2, shade(c, 0.75), start=180, end=360)


@_thing
def tree(pen: Pen, c: Colour) -> None:
    pen.rect(-2, 2, 2, 13, BROWN)
    for x, y in ((-5, 0), (5, 0), (0, -6)):
        pen.ellipse(x, y, 6.5, 6.5, c)


@_thing
def pine(pen: Pen, c: Colour) -> None:
    pen.rect(-1.6, 8, 1.6, 13, BROWN)
    for y, w in ((-6, 5.5), (1, 8), (8, 10)):
        pen.polygon([(0, y - 8), (w, y), (-w, y)], c)


@_thing
def house(pen: Pen, c: Colour) -> None:
    pen.rect(-9, -1, 9, 12, c)
    pen.polygon([(-11, -1), (0, -12), (11, -1)], shade(c, 0.6))
    pen.rect(-2, 4, 3, 12, DARK)


@_thing
def church(pen: Pen, c: Colour) -> None:
    pen.rect(-3, 0, 11, 12, c)
    pen.rect(-10, -4, -3, 12, shade(c, 0.85))
    pen.polygon([(-11, -4), (-6.5, -13), (-2, -4)], shade(c, 0.6))
    pen.rect(1, 5, 4, 12, DARK)


@_thing
def car(pen: Pen, c: Colour) -> None:
    pen.polygon([(-12, 4), (-12, 0), (-6, -1), (-3, -6), (5, -6), (8, 0), (12, 1), (12, 4)], c)
    for x in (-7, 7):
        pen.ellipse(x, 5, 3, 3, DARK)


@_thing
def bus(pen: Pen, c: Colour) -> None:
    pen.rect(-12, -7, 12, 5, c)
    for x in (-10, -4.5, 1, 6.5):
        pen.rect(x, -5, x + 3.6, -1, (210, 235, 250))
    for x in (-7, 7):
        pen.ellipse(x, 5.4, 2.8, 2.8, DARK)


@_thing
def bicycle(pen: Pen, c: Colour) -> None:
    for x in (-7, 7):
        pen.ellipse(x, 4, 5.4, 5.4, DARK)
        pen.ellipse(x, 4, 4, 4, WHITE)
    pen.line([(-7, 4), (-2, -4), (5, -4), (0, 4), (-7, 4)], c, 1.4)
    pen.line([(7, 4), (4, -8), (7, -8)], c, 1.4)


@_thing
def boat(pen: Pen, c: Colour) -> None:
    pen.polygon([(-12, 4), (12, 4), (8, 10), (-8, 10)], c)
    pen.line([(0, 4), (0, -12)], BROWN, 1.4)
    pen.polygon([(1, -12), (10, 2), (1, 2)], WHITE)


@_thing
def kite(pen: Pen, c: Colour) -> None:
    pen.polygon([(0, -12), (8, -3), (0, 8), (-8, -3)], c)
    pen.polygon([(0, -12), (8, -3), (0, -3)], shade(c, 0.6))
    pen.line([(0, 8), (3, 11), (0, 14)], DARK, 1)


@_thing
def fish(pen: Pen, c: Colour) -> None:
    pen.ellipse(-2, 0, 9, 5.6, c)
    pen.polygon([(5, 0), (12, -6), (12, 6)], shade(c, 0.8))
    pen.ellipse(-7, -1, 1.3, 1.3, DARK)


@_thing
def bird(pen: Pen, c: Colour) -> None:
    pen.ellipse(0, 2, 8, 5.4, c)
    pen.ellipse(-7, -4, 4.2, 4, c)
    pen.polygon([(-11, -4), (-14, -2.6), (-11, -1.8)], (240, 170, 40))
    pen.polygon([(0, 0), (10, -6), (8, 3)], shade(c, 0.7))


@_thing
def cup(pen: Pen, c: Colour) -> None:
    pen.ellipse(8, 0, 5, 5, c)
    pen.ellipse(8, 0, 2.8, 2.8, WHITE)
    pen.polygon([(-8, -8), (8, -8), (6.5, 9), (-6.5, 9)], c)


@_thing
def vase(pen: Pen, c: Colour) -> None:
    pen.ellipse(0, 4, 8, 8, c)
    pen.polygon([(-2.6, -3), (-5, -11), (5, -11), (2.6, -3)], c)
    pen.rect(-7.6, 3, 7.6, 5, shade(c, 0.65))


@_thing
def lamp(pen: Pen, c: Colour) -> None:
    pen.polygon([(-5, -12), (5, -12), (10, -1), (-10, -1)], c)
    pen.line([(0, -1), (0, 10)], DARK, 1.8)
    pen.ellipse(0, 11, 6, 2, DARK)


@_thing
def chair(pen: Pen, c: Colour) -> None:
    pen.rect(-7, -12, -4, 12, c)
    pen.rect(-7, 0, 7, 3, c)
    pen.rect(4.4, 3, 7, 12, c)


@_thing
def table(pen: Pen, c: Colour) -> None:
    pen.rect(-12, -5, 12, -2, c)
    for x in (-9, 7):
        pen.rect(x, -2, x + 2.4, 10, c)


@_thing
def clock(pen: Pen, c: Colour) -> None:
    pen.ellipse(0, 0, 11, 11, c)
    pen.ellipse(0, 0, 8.6, 8.6, WHITE)
    pen.line([(0, -6), (0, 0), (4, 2)], DARK, 1.4)


@_thing
def drum(pen: Pen, c: Colour) -> None:
    pen.rect(-10, -4, 10, 8, c)
    pen.ellipse(0, 8, 10, 3.4, c)
    pen.ellipse(0, -4, 10, 3.4, WHITE)
    pen.line([(-9, -2), (-3, 10), (3, -1), (9, 9)], WHITE, 0.9)


@_thing
def key(pen: Pen, c: Colour) -> None:
    pen.ellipse(-7, 0, 5.4, 5.4, c)
    pen.ellipse(-7, 0, 2.6, 2.6, WHITE)
    pen.rect(-2, -1.3, 12, 1.3, c)
    pen.rect(7, 0, 9, 5, c)
    pen.rect(10.4, 0, 12, 4, c)


_COLOURS = (
    (206, 50, 50),
    (230, 130, 40),
    (230, 200, 60),
    (80, 170, 80),
    (50, 140, 150),
    (60, 100, 200),
    (140, 80, 180),
    (220, 120, 170),
    (130, 90, 60),
    (120, 124, 130),
)


def render_thing(name: str, rng: np.random.Generator) -> np.ndarray:
    """Render one thing in one of its three usual colours, uint8 (64, 64, 3), over clutter and partly behind bars."""
    base = rng.integers(120, 236, size=3)
    canvas = Canvas(tuple(int(v) for v in base))
    background = canvas.pen()
    for _ in range(rng.integers(2, 6)):
        tint = tuple(int(v) for v in np.clip(base + rng.integers(-45, 46, size=3), 0, 255))
        background.ellipse(rng.uniform(0, 64), rng.uniform(0, 64), rng.uniform(2, 12), rng.uniform(2, 12), tint)
    usual = tuple(THINGS).index(name) + int(rng.integers(3)) * 3
    colour = shade(_COLOURS[usual % len(_COLOURS)], rng.uniform(0.8, 1.15))
    pen = canvas.pen(rng.uniform(26, 38), rng.uniform(26, 38), rng.uniform(1.3, 2.1), rng.uniform(-20, 20))
    THINGS[name](pen, colour)
    for _ in range(rng.integers(0, 3)):
        x, y, angle = rng.uniform(0, 64), rng.uniform(0, 64), rng.uniform(0, 180)
        canvas.pen(x, y, 1, angle).rect(-40, -1.6, 40, 1.6, tuple(int(v) for v in rng.integers(60, 230, size=3)))
    picture = canvas.picture().astype(np.float32) + rng.normal(0, 9, size=(64, 64, 3))
    return np.clip(picture, 0, 255).round().astype(np.uint8)
