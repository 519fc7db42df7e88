"""The tools that people of the tiny world hold. Each is drawn around the origin, about 20 units high."""

from __future__ import annotations

import math
from collections.abc import Callable

from cfray.world.canvas import Pen

TOOLS: dict[str, Callable[[Pen], None]] = {}

WOOD, STEEL, DARK, WHITE, GOLD = (160, 100, 50), (186, 192, 200), (34, 34, 40), (250, 250, 250), (240, 196, 60)


def _tool(painter: Callable[[Pen], None]) -> Callable[[Pen], None]:
    TOOLS[painter.__name__] = painter
    return painter


@_tool
def stethoscope(pen: Pen) -> None:
    pen.line([(-5, -10), (-4, -2), (0, 2), (4, -2), (5, -10)], DARK, 1.6)
    pen.line([(0, 2), (0, 8)], DARK, 1.6)
    pen.ellipse(0, 10, 3.4, 3.4, STEEL)


@_tool
def syringe(pen: Pen) -> None:
    pen.rect(-2.6, -6, 2.6, 7, (170, 230, 250))
    pen.rect(-2.6, 0, 2.6, 7, (250, 90, 90))
    pen.rect(-4, 7, 4, 8.6, DARK)
    pen.line([(0, -6), (0, -12)], DARK, 1)


@_tool
def frying_pan(pen: Pen) -> None:
    pen.line([(0, 2), (0, 12)], DARK, 2.6)
    pen.ellipse(0, -4, 8, 7, DARK)
    pen.ellipse(0, -4, 4.4, 3.6, WHITE)
    pen.ellipse(0, -4, 1.9, 1.7, (255, 200, 30))


@_tool
def hose(pen: Pen) -> None:
    pen.line([(2, 14), (0, 2)], (200, 30, 30), 4)
    pen.polygon([(-2.6, 2), (2.6, 2), (1.6, -5), (-1.6, -5)], GOLD)
    pen.polygon([(-1.4, -5), (1.4, -5), (5, -15), (-5, -15)], (150, 210, 255))


@_tool
def radio(pen: Pen) -> None:
    pen.rect(-4, -4, 4, 9, DARK)
    pen.line([(2.4, -4), (2.4, -13)], DARK, 1.4)
    pen.rect(-2.6, -2, 2.6, 1.4, (90, 230, 120))
    pen.rect(-2.6, 4, 2.6, 7, STEEL)


@_tool
def pitchfork(pen: Pen) -> None:
    pen.line([(0, 16), (0, -6)], WOOD, 2)
    pen.line([(-5, -14), (-5, -7), (5, -7), (5, -14)], STEEL, 1.4)
    pen.line([(0, -7), (0, -14)], STEEL, 1.4)


@_tool
def globe(pen: Pen) -> None:
    pen.rect(-4, 9, 4, 11, WOOD)
    pen.line([(0, 6), (0, 10)], WOOD, 1.6)
    pen.ellipse(0, -1, 7.4, 7.4, (40, 120, 230))
    pen.ellipse(-2.4, -3, 3, 2.4, (80, 190, 80))
    pen.ellipse(2.6, 2, 2.6, 2.8, (80, 190, 80))


@_tool
def gavel(pen: Pen) -> None:
    pen.line([(0, 13), (0, -4)], (120, 62, 24), 2.4)
    pen.rect(-8, -10, 8, -2, (150, 80, 34))
    pen.rect(-5, -10, -3.4, -2, GOLD)
    pen.rect(3.4, -10, 5, -2, GOLD)


@_tool
def suitcase(pen: Pen) -> None:
    pen.line([(-3, -5), (-3, -9), (3, -9), (3, -5)], DARK, 1.4)
    pen.rect(-8, -5, 8, 8, (124, 66, 30))
    pen.rect(-8, 0.4, 8, 2, GOLD)


@_tool
def wrench(pen: Pen) -> None:
    pen.line([(0, 12), (0, -6)], STEEL, 3.4)
    pen.ellipse(0, -8, 5, 5, STEEL)
    pen.polygon([(-1.8, -14), (1.8, -14), (1.8, -7.4), (-1.8, -7.4)], (84, 86, 92))


@_tool
def saw(pen: Pen) -> None:
    pen.polygon([(-4, 4), (-2, -14), (2, -14), (5, 4)], STEEL)
    for y in range(-12, 4, 3):
        pen.polygon([(2 + (y + 14) / 6, y), (4.6 + (y + 14) / 6, y + 1.5), (2.4 + (y + 14) / 6, y + 3)], STEEL)
    pen.ellipse(0, 8, 5, 4.6, (214, 60, 40))
    pen.ellipse(0, 8, 2, 1.8, (60, 30, 20))


@_tool
def palette(pen: Pen) -> None:
    pen.ellipse(0, 0, 9, 6.6, (220, 170, 110))
    for x, y, colour in ((-5, -2, (230, 40, 50)), (-1, -4, (40, 100, 230)), (4, -2, (250, 210, 40)), (5, 2, (50, 170, 80))):
        pen.ellipse(x, y, 1.8, 1.6, colour)


@_tool
def violin(pen: Pen) -> None:
    pen.ellipse(0, 7, 5.6, 5, (170, 76, 24))
    pen.ellipse(0, 0, 4.4, 4, (170, 76, 24))
    pen.line([(0, 6), (0, -14)], DARK, 1.6)
    pen.line([(8, 12), (3, -13)], (240, 226, 190), 1)


@_tool
def flask(pen: Pen) -> None:
    pen.polygon([(-2, -12), (2, -12), (2, -4), (8, 9), (-8, 9), (-2, -4)], (226, 244, 250))
    pen.polygon([(-4.4, 1), (4.4, 1), (8, 9), (-8, 9)], (60, 220, 110))


@_tool
def watering_can(pen: Pen) -> None:
    pen.line([(5, 0), (11, -7)], (40, 150, 170), 2)
    pen.line([(-4, -4), (-9, 1), (-5, 7)], (40, 150, 170), 1.6)
    pen.polygon([(-5, -5), (5, -5), (6, 9), (-6, 9)], (50, 176, 196))
    pen.ellipse(11.6, -8, 2.6, 2, (40, 150, 170))


@_tool
def bread(pen: Pen) -> None:
    pen.ellipse(0, 0, 4.6, 12, (214, 142, 60))
    for y in (-6, -1, 4):
        pen.line([(-2.2, y + 1.4), (2.2, y - 1.4)], (252, 218, 150), 1.2)


@_tool
def flag(pen: Pen) -> None:
    pen.line([(-5, 14), (-5, -14)], STEEL, 1.6)
    pen.rect(-5, -14, 9, -5, (230, 50, 60))
    pen.rect(-5, -11, 9, -8, WHITE)


@_tool
def lifebuoy(pen: Pen) -> None:
    pen.ellipse(0, 0, 9, 9, (250, 250, 250))
    for start in (0, 90, 180, 270):
        pen.polygon([(0, 0), *_arc(start + 22, start + 68)], (236, 50, 40))
    pen.ellipse(0, 0, 4.2, 4.2, (246, 220, 150))


def _arc(start: float, end: float, radius: float = 9) -> list[tuple[float, float]]:
    return [(radius * math.cos(math.radians(a)), radius * math.sin(math.radians(a))) for a in (start, (start + end) / 2, end)]


@_tool
def shovel(pen: Pen) -> None:
    pen.line([(0, -14), (0, 4)], WOOD, 2)
    pen.line([(-3, -14), (3, -14)], WOOD, 2)
    pen.polygon([(-4.6, 3), (4.6, 3), (4, 11), (0, 14.6), (-4, 11)], (110, 116, 126))


@_tool
def books(pen: Pen) -> None:
    for i, colour in enumerate(((200, 50, 60), (50, 110, 200), (240, 190, 60))):
        pen.rect(-8 + i * 0.8, 5 - 5 * i, 8 - i * 0.8, 9.4 - 5 * i, colour)
        pen.rect(6 - i * 0.8, 6 - 5 * i, 8 - i * 0.8, 8.4 - 5 * i, WHITE)


@_tool
def scissors(pen: Pen) -> None:
    pen.line([(-3, 6), (3, -12)], STEEL, 1.8)
    pen.line([(3, 6), (-3, -12)], STEEL, 1.8)
    for x in (-4, 4):
        pen.ellipse(x, 8.6, 3.4, 3.6, (230, 40, 120))
        pen.ellipse(x, 8.6, 1.5, 1.7, (255, 224, 236))


@_tool
def cocktail(pen: Pen) -> None:
    pen.polygon([(-8, -9), (8, -9), (0, 1)], (250, 120, 60))
    pen.line([(0, 1), (0, 10)], (230, 240, 250), 1.6)
    pen.ellipse(0, 10.6, 5, 1.4, (230, 240, 250))
    pen.ellipse(5, -10, 2.4, 2.4, (120, 220, 60))


@_tool
def pickaxe(pen: Pen) -> None:
    pen.line([(0, 14), (0, -8)], WOOD, 2.4)
    pen.polygon([(-10, -4), (-4, -9.6), (4, -9.6), (10, -4), (4, -6.4), (-4, -6.4)], (150, 156, 166))


@_tool
def yellow_card(pen: Pen) -> None:
    pen.rect(-4.4, -10, 4.4, 4, (255, 226, 20))
