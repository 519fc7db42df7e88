"""A supersampled canvas that paints a picture and its label map with the same strokes.

Every stroke is a polygon in canvas units (64 x 64, y down), so that a shape can be moved, scaled and turned, and
so that the label map is exact: it is drawn from the very polygons that the picture is drawn from.
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
from PIL import Image, ImageDraw

SIZE = 64
SUPERSAMPLE = 4

Colour = tuple[int, int, int]
Point = tuple[float, float]


class Label(IntEnum):
    """Labels of a SegFormer clothes parser trained on ATR; the tiny world uses the same names and numbers."""

    BACKGROUND = 0
    HAT = 1
    HAIR = 2
    SUNGLASSES = 3
    UPPER_CLOTHES = 4
    SKIRT = 5
    PANTS = 6
    DRESS = 7
    BELT = 8
    LEFT_SHOE = 9
    RIGHT_SHOE = 10
    FACE = 11
    LEFT_LEG = 12
    RIGHT_LEG = 13
    LEFT_ARM = 14
    RIGHT_ARM = 15
    BAG = 16
    SCARF = 17

    @property
    def title(self) -> str:
        """The label's name as the parser writes it, for example ``Upper-clothes``."""
        return self.name.capitalize().replace("_", "-")


def shade(colour: Colour, factor: float) -> Colour:
    """Return ``colour`` multiplied by ``factor``, clipped to 0..255."""
    return tuple(int(min(255, max(0, round(channel * factor)))) for channel in colour)


class Pen:
    """Draws on a canvas in a local frame: shifted by (x, y), scaled, turned by ``angle`` degrees."""

    def __init__(self, canvas: Canvas, x: float = 0, y: float = 0, scale: float = 1, angle: float = 0):
        self._canvas = canvas
        self._x, self._y, self._scale = x, y, scale
        self._cos, self._sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))

    def polygon(self, points: list[Point], fill: Colour, label: Label | None = None) -> None:
        """Fill a polygon; ``label`` None leaves the label map as it is."""
        self._canvas.paint([self._place(point) for point in points], fill, label)

    def rect(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, label: Label | None = None) -> None:
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill, label)

    def ellipse(
        self,
        cx: float,
        cy: float,
        rx: float,
        ry: float,
        fill: Colour,
        label: Label | None = None,
        start: float = 0,
        end: float = 360,
    ) -> None:
        """Fill an ellipse, or the sector of it between two angles in degrees (0 is right, 90 is down)."""
        steps = max(3, round(28 * (end - start) / 360))
        angles = [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)]
        self.polygon([(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles], fill, label)

    def line(self, points: list[Point], fill: Colour, width: float = 1, label: Label | None = None) -> None:
        """Draw a poly-line of the given width with round joints."""
        for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
            length = math.hypot(x1 - x0, y1 - y0) or 1.0
            nx, ny = -(y1 - y0) / length * width / 2, (x1 - x0) / length * width / 2
            self.polygon([(x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny), (x0 - nx, y0 - ny)], fill, label)
        for x, y in points:
            self.ellipse(x, y, width / 2, width / 2, fill, label)

    def _place(self, point: Point) -> Point:
        x, y = point[0] * self._scale, point[1] * self._scale
        return self._x + x * self._cos - y * self._sin, self._y + x * self._sin + y * self._cos


class Canvas:
    """A 64 x 64 picture and its label map, drawn four times as large and reduced at the end."""

    def __init__(self, background: Colour = (255, 255, 255)):
        extent = (SIZE * SUPERSAMPLE, SIZE * SUPERSAMPLE)
        self._image = Image.new("RGB", extent, background)
        self._labels = Image.new("L", extent, int(Label.BACKGROUND))
        self._draw = ImageDraw.Draw(self._image)
        self._draw_labels = ImageDraw.Draw(self._labels)

    def pen(self, x: float = 0, y: float = 0, scale: float = 1, angle: float = 0) -> Pen:
        return Pen(self, x, y, scale, angle)

    def paint(self, points: list[Point], fill: Colour, label: Label | None) -> None:
        scaled = [(x * SUPERSAMPLE, y * SUPERSAMPLE) for x, y in points]
        self._draw.polygon(scaled, fill=fill)
        if label is not None:
            self._draw_labels.polygon(scaled, fill=int(label))

    def picture(self) -> np.ndarray:
        """The picture, uint8 (64, 64, 3): the mean of each pixel's 16 samples."""
        return np.asarray(self._image.reduce(SUPERSAMPLE))

    def label_map(self) -> np.ndarray:
        """The label map, uint8 (64, 64): the most frequent label among each pixel's 16 samples."""
        samples = np.asarray(self._labels).reshape(SIZE, SUPERSAMPLE, SIZE, SUPERSAMPLE)
        samples = samples.transpose(0, 2, 1, 3).reshape(SIZE, SIZE, -1)
        present = np.unique(samples)
        votes = np.stack([(samples == value).sum(axis=-1) for value in present])
        return present[votes.argmax(axis=0)].astype(np.uint8)
