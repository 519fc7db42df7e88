"""The places of the tiny world, one painter each. A painter fills the whole canvas and varies its details by ``rng``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cfray.world.canvas import Colour, Pen, shade

Painter = Callable[[Pen, np.random.Generator], None]
PLACES: dict[str, Painter] = {}


def _place(painter: Painter) -> Painter:
    PLACES[painter.__name__] = painter
    return painter


def _room(pen: Pen, wall: Colour, floor: Colour, horizon: float = 48) -> None:
    pen.rect(0, 0, 64, horizon, wall)
    pen.rect(0, horizon, 64, 64, floor)


@_place
def ward(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (206, 236, 222), (150, 178, 170))
    x = rng.uniform(2, 8)
    pen.rect(x, 6, x + 14, 46, (120, 196, 178))
    for i in range(3):
        pen.rect(x + 1 + 5 * i, 6, x + 3 + 5 * i, 46, (92, 172, 154))
    pen.rect(44, 34, 64, 46, (250, 250, 252))
    pen.rect(44, 30, 50, 36, (225, 235, 250))


@_place
def clinic(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (176, 208, 244), (222, 226, 232))
    x = 50 + rng.uniform(-3, 3)
    pen.rect(x - 8, 5, x + 8, 21, (252, 252, 252))
    pen.rect(x - 2, 7, x + 2, 19, (214, 36, 44))
    pen.rect(x - 6, 11, x + 6, 15, (214, 36, 44))
    pen.rect(0, 40, 64, 43, (96, 140, 206))


@_place
def kitchen(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (236, 238, 240), (168, 172, 178), 44)
    for x in range(0, 64, 8):
        pen.rect(x, 0, x + 0.8, 44, (196, 200, 208))
    for y in range(0, 44, 8):
        pen.rect(0, y, 64, y + 0.8, (196, 200, 208))
    pen.polygon([(2, 0), (22, 0), (26, 10), (-2, 10)], (120, 124, 132))
    for i in range(3):
        pen.ellipse(46 + 7 * i, 12 + rng.uniform(-2, 2), 3, 4, (176, 104, 56))


@_place
def burning_street(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (74, 58, 66), (52, 48, 52))
    for x in (0, 12, 44, 55):
        height = rng.uniform(22, 36)
        pen.polygon(
            [(x - 4, 50), (x + 1, 48 - height), (x + 6, 50 - height / 2), (x + 10, 46 - height), (x + 14, 50)], (250, 110, 20)
        )
        pen.polygon([(x, 50), (x + 4, 50 - height / 2), (x + 8, 50)], (255, 216, 60))


@_place
def city_street(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (150, 182, 220), (86, 88, 96))
    for x in (0, 14, 42, 54):
        top = rng.uniform(6, 20)
        pen.rect(x, top, x + 11, 50, (104, 112, 136))
        for y in np.arange(top + 3, 46, 6):
            pen.rect(x + 2, y, x + 4, y + 3, (248, 232, 140))
            pen.rect(x + 7, y, x + 9, y + 3, (248, 232, 140))


@_place
def farmyard(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (138, 204, 246), (96, 172, 64), 36)
    x = rng.uniform(0, 4)
    pen.polygon([(x, 36), (x, 18), (x + 9, 9), (x + 18, 18), (x + 18, 36)], (178, 40, 36))
    pen.rect(x + 6, 24, x + 12, 36, (250, 246, 236))
    for i in range(4):
        pen.line([(46 + 5 * i, 30), (46 + 5 * i, 42)], (232, 190, 70), 2)


@_place
def classroom(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (242, 226, 184), (190, 150, 100))
    pen.rect(2, 4, 62, 32, (130, 88, 48))
    pen.rect(4, 6, 60, 30, (32, 92, 66))
    for i in range(3):
        y = 10 + 6 * i
        pen.line([(7, y), (7 + rng.uniform(5, 12), y)], (236, 240, 236), 1)
        pen.line([(46, y), (46 + rng.uniform(5, 11), y)], (236, 240, 236), 1)


@_place
def courtroom(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (136, 84, 48), (88, 50, 28))
    for x in range(0, 64, 12):
        pen.rect(x + 1, 4, x + 10, 44, (112, 66, 36))
    for x in (6, 58):
        pen.rect(x - 4, 0, x + 4, 48, (226, 214, 190))
    pen.ellipse(32, 3 + rng.uniform(-1, 1), 9, 4, (228, 186, 70))


@_place
def airfield(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (116, 186, 250), (140, 144, 150), 44)
    y = 14 + rng.uniform(-3, 3)
    pen.polygon([(0, y + 4), (40, y), (62, y + 2), (64, y + 6), (0, y + 12)], (248, 248, 252))
    pen.polygon([(0, y + 4), (0, y - 10), (6, y - 8), (10, y + 3)], (44, 82, 180))
    for x in range(14, 60, 7):
        pen.rect(x, y + 4, x + 3, y + 6, (60, 110, 190))
    pen.rect(4, 52, 16, 54, (250, 250, 250))
    pen.rect(46, 52, 60, 54, (250, 250, 250))


@_place
def garage(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (126, 130, 136), (70, 70, 74))
    colour = ((196, 40, 44), (36, 92, 190), (230, 180, 40))[rng.integers(3)]
    pen.polygon([(-6, 44), (-6, 34), (2, 32), (8, 24), (20, 24), (24, 34), (26, 44)], colour)
    pen.ellipse(4, 44, 5, 5, (24, 24, 26))
    for x in (44, 52, 60):
        pen.ellipse(x, 14, 5, 5, (30, 30, 34))
        pen.ellipse(x, 14, 2, 2, (170, 172, 176))


@_place
def timber_yard(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (232, 204, 158), (206, 166, 110))
    for y in range(4, 46, 7):
        for x in (0, 40):
            end = x + 22 + rng.uniform(-3, 3)
            pen.rect(x, y, end, y + 5, (182, 124, 66))
            pen.ellipse(end, y + 2.5, 2, 2.5, (244, 214, 160))


@_place
def art_studio(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (250, 246, 238), (214, 206, 198))
    pen.rect(0, 6, 20, 38, (120, 84, 56))
    pen.rect(2, 8, 18, 36, (252, 252, 250))
    for colour in ((236, 52, 60), (50, 110, 220), (250, 200, 40), (60, 170, 90), (150, 70, 180)):
        pen.ellipse(rng.uniform(4, 16), rng.uniform(10, 34), 3, 3, colour)
        pen.ellipse(rng.uniform(46, 60), rng.uniform(6, 40), 3, 3, colour)


@_place
def concert_hall(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (150, 18, 36), (120, 78, 46))
    for x in range(0, 64, 6):
        pen.rect(x, 0, x + 2.5, 48, (112, 8, 24))
    pen.ellipse(32, 0, 26 + rng.uniform(-3, 3), 8, (236, 196, 84))


@_place
def laboratory(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (222, 222, 240), (120, 124, 150))
    pen.rect(0, 22, 64, 24, (90, 96, 120))
    for x, colour in ((6, (80, 210, 120)), (16, (240, 90, 160)), (48, (70, 160, 250)), (58, (250, 190, 50))):
        y = 22 + rng.uniform(-0.5, 0.5)
        pen.polygon([(x - 1, y - 12), (x + 1, y - 12), (x + 1, y - 8), (x + 5, y), (x - 5, y), (x - 1, y - 8)], colour)


@_place
def greenhouse(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (200, 240, 214), (120, 90, 60))
    for x in range(0, 64, 16):
        pen.rect(x, 0, x + 1.2, 48, (250, 252, 250))
    for x in (3, 12, 50, 60):
        y = 40 + rng.uniform(-4, 2)
        pen.ellipse(x, y, 6, 8, (40, 140, 60))
        pen.ellipse(x, y - 6, 3, 3, ((240, 80, 140), (250, 210, 60), (250, 250, 250))[rng.integers(3)])


@_place
def bakery(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (252, 222, 190), (206, 160, 120))
    for y in (12, 26, 40):
        pen.rect(0, y, 64, y + 2, (140, 90, 54))
        for x in (5, 15, 49, 59):
            pen.ellipse(x + rng.uniform(-1, 1), y - 3, 4.5, 3, (206, 138, 62))
            pen.line([(x - 2, y - 4), (x + 2, y - 4)], (244, 196, 120), 0.8)


@_place
def moon_surface(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (8, 8, 24), (168, 168, 172), 42)
    for _ in range(16):
        pen.ellipse(rng.uniform(0, 64), rng.uniform(0, 38), 0.7, 0.7, (255, 255, 240))
    pen.ellipse(52, 10, 7, 7, (60, 130, 230))
    pen.ellipse(50, 9, 3, 3, (90, 180, 100))
    for x in (6, 56):
        pen.ellipse(x, 50, 7, 3, (132, 132, 138))


@_place
def beach(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (110, 206, 250), (246, 220, 150), 40)
    pen.rect(0, 24, 64, 40, (20, 120, 200))
    for y in (28, 34):
        pen.line([(rng.uniform(0, 6), y), (16, y)], (240, 250, 255), 1)
        pen.line([(46, y), (rng.uniform(56, 64), y)], (240, 250, 255), 1)
    pen.ellipse(56, 8, 5, 5, (255, 232, 90))


@_place
def building_site(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (196, 222, 244), (176, 140, 96), 50)
    pen.line([(8, 0), (8, 50)], (246, 190, 20), 2.5)
    pen.line([(0, 6), (40, 6)], (246, 190, 20), 2.5)
    for y in range(14, 50, 9):
        pen.rect(40, y, 64, y + 7, (170, 172, 176))
        for x in (43, 51, 59):
            pen.rect(x, y + 1.5, x + 4, y + 5.5, (92, 100, 112) if rng.random() < 0.7 else (196, 222, 244))


@_place
def library(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (104, 66, 40), (70, 42, 26), 54)
    colours = ((178, 40, 50), (40, 84, 150), (46, 120, 80), (222, 180, 80), (110, 60, 130), (230, 220, 200))
    for y in (2, 16, 30, 44):
        for x in range(0, 64, 4):
            pen.rect(x, y + rng.uniform(0, 2), x + 3.2, y + 11, colours[rng.integers(len(colours))])


@_place
def salon(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (250, 200, 222), (236, 236, 240))
    for x in (9, 55):
        pen.ellipse(x, 22, 9, 15, (230, 180, 60))
        pen.ellipse(x, 22, 7.5, 13, (206, 232, 246))
    for i in range(4):
        pen.rect(
            2 + 5 * i,
            42 + rng.uniform(-1, 1),
            5 + 5 * i,
            50,
            ((160, 60, 180), (240, 120, 60), (70, 180, 180), (250, 250, 250))[i],
        )


@_place
def bar(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (60, 30, 70), (96, 54, 30), 50)
    for y in (18, 36):
        pen.rect(0, y, 64, y + 2, (200, 140, 70))
        for x in (4, 10, 16, 48, 54, 60):
            colour = ((60, 190, 110), (240, 200, 70), (230, 80, 60), (90, 170, 240))[rng.integers(4)]
            pen.rect(x - 1.6, y - 8, x + 1.6, y, colour)
            pen.rect(x - 0.7, y - 12, x + 0.7, y - 8, colour)


@_place
def mine(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (46, 38, 34), (30, 24, 22), 52)
    for _ in range(14):
        x, y, r = rng.uniform(0, 64), rng.uniform(6, 60), rng.uniform(3, 6)
        pen.polygon(
            [(x - r, y), (x - r / 2, y - r), (x + r, y - r / 2), (x + r / 2, y + r)], shade((92, 78, 68), rng.uniform(0.8, 1.3))
        )
    for x in (3, 61):
        pen.rect(x - 3, 0, x + 3, 64, (150, 104, 60))
    pen.rect(0, 0, 64, 5, (150, 104, 60))


@_place
def stadium(pen: Pen, rng: np.random.Generator) -> None:
    _room(pen, (112, 128, 170), (40, 160, 60), 34)
    for x in range(2, 64, 5):
        for y in range(6, 32, 6):
            pen.ellipse(x, y, 1.6, 1.8, ((250, 240, 90), (230, 70, 70), (250, 250, 250), (70, 110, 230))[rng.integers(4)])
    for x in range(0, 64, 16):
        pen.rect(x, 34, x + 8, 64, (56, 182, 76))
    pen.rect(0, 44, 64, 45.2, (250, 250, 250))
