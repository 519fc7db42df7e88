"""Pieces of inline SVG charts: escaped elements, linear scales, round ticks, labels kept apart, the frame of a plot."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

Point = tuple[float, float]

_TICK_WIDTH = 27  # pixels that a tick label of the x axis needs; where there is less, every other label is left out


def tag(name: str, *children: str, **attributes: str | float) -> Markup:
    """One element. Attribute values, and children that are not Markup already, are escaped; ``stroke_width`` is written
    ``stroke-width`` and ``class_`` is written ``class``."""
    pairs = (Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _short(value)) for key, value in attributes.items())
    return Markup("<{0}{1}>{2}</{0}>").format(name, Markup("").join(pairs), Markup("").join(children))


def chart(width: float, height: float, label: str, parts: Iterable[str]) -> Markup:
    """An ``<svg>`` that scales down with its column; ``label`` is what a screen reader says."""
    return tag("svg", *parts, viewBox=f"0 0 {width:g} {height:g}", width=width, role="img", aria_label=label)


def text(x: float, y: float, words: str, class_: str, anchor: str = "start", **attributes: str | float) -> Markup:
    """A line of text; ``anchor`` is start, middle or end."""
    return tag("text", words, x=x, y=y, class_=class_, text_anchor=anchor, **attributes)


def line(start: Point, end: Point, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=class_)


def path(points: Sequence[Point], class_: str, *, closed: bool = False, **attributes: str) -> Markup:
    """A polyline, or a polygon if ``closed``."""
    steps = "L".join(f"{_short(x)} {_short(y)}" for x, y in points)
    return tag("path", d=f"M{steps}{'Z' if closed else ''}", class_=class_, **attributes)


def dot(centre: Point, radius: float, class_: str, tooltip: str, **attributes: str) -> Markup:
    """A point of data with a tooltip that needs no script."""
    return tag("circle", tag("title", tooltip), cx=centre[0], cy=centre[1], r=radius, class_=class_, **attributes)


@dataclass(frozen=True)
class Scale:
    """A linear map of data ``low..high`` to pixels ``start..end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that cover ``low..high``: the first is at most ``low``, the last
    at least ``high``. Roughly ``about`` of them; at least two."""
    width = (high - low) or abs(high) or 1.0
    power = 10 ** math.floor(math.log10(width / about))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= width / about * 0.999)
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    return [round(i * step, 12) for i in range(first, last + 1)]


def decimals(marks: Sequence[float]) -> int:
    """How many decimals tell the ticks apart."""
    return max(0, -math.floor(math.log10(marks[1] - marks[0]) + 1e-9))


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move positions as little as a single sweep can so that neighbours are ``gap`` apart and all lie in ``low..high``; the
    order of the input is kept. Where ``high - low`` has no room for all of them they run past ``low``."""
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    placed = list(positions)
    below = low - gap
    for i in order:
        placed[i] = below = max(positions[i], below + gap)
    above = high + gap
    for i in reversed(order):
        placed[i] = above = min(placed[i], above - gap)
    return placed


def frame(
    x: Scale, y: Scale, x_marks: Sequence[float], y_marks: Sequence[float], x_title: str, y_title: str,
    x_format: Callable[[float], str], y_format: Callable[[float], str],
) -> list[Markup]:  # fmt: skip
    """Grid, tick labels and axis titles. ``x.start..x.end`` and ``y.end..y.start`` are the plot area, y upwards."""
    parts = [text(x.start - 44, y.end - 24, y_title, "axis-title")]
    for mark in y_marks:
        parts.append(line((x.start, y(mark)), (x.end, y(mark)), "grid"))
        parts.append(text(x.start - 8, y(mark) + 4, y_format(mark), "tick", "end"))
    every = math.ceil(len(x_marks) * _TICK_WIDTH / (x.end - x.start))
    for i, mark in enumerate(x_marks):
        parts.append(line((x(mark), y.start), (x(mark), y.start + 5), "axis"))
        if i % every == 0:
            parts.append(text(x(mark), y.start + 20, x_format(mark), "tick", "middle"))
    parts.append(line((x.start, y.start), (x.end, y.start), "axis"))
    if x_title:
        parts.append(text((x.start + x.end) / 2, y.start + 42, x_title, "axis-title", "middle"))
    return parts


def _short(value: str | float) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
