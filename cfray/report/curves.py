"""The trade-off over α as inline SVG: a fairness metric over α, accuracy over α, and one against the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from cfray.report.summary import MeasureKey, magnitude, measure_at
from cfray.report.svg import Point, Scale, chart, decimals, dot, frame, line, path, spread, text, ticks
from cfray.report.words import accuracy_label, benchmark_label, metric_label, number, percent, plain, signed

# Okabe and Ito's colours, which readers with colour blindness tell apart; darkened where white paper needs it.
_COLOURS = ("#0072b2", "#00805c", "#b0457f", "#b35a00", "#2b9fd0", "#7a5195", "#6b6b00", "#444b55")
_ALPHA_TITLE = "α  (0: original CLIP, 1: fine-tuned)"
_LEFT, _RIGHT = 52, 184


def metric_over_alpha(rows: Sequence[Mapping], key: MeasureKey, recommended: float) -> Markup:
    """One fairness metric over α with its interval band and its random floor; ``rows`` as :func:`rows_by_alpha` gives."""
    alphas = [row["alpha"] for row in rows]
    measures = [magnitude(measure_at(row, key)) for row in rows]
    marks = ticks(0, max(max(m["high"], m["floor"]) for m in measures), 4)
    x, y = _alpha_scale(alphas, 700), Scale(marks[0], marks[-1], 256, 58)
    name = metric_label(key.metric, magnitude=True)
    title = f"{name} (nats), lower is fairer; band: 95 % interval"
    parts = frame(x, y, alphas, marks, "", title, "{:g}".format, lambda v: number(v, decimals(marks)))
    band = [(x(a), y(m["high"])) for a, m in zip(alphas, measures, strict=True)]
    band += [(x(a), y(m["low"])) for a, m in reversed(list(zip(alphas, measures, strict=True)))]
    floor = [(x(a), y(m["floor"])) for a, m in zip(alphas, measures, strict=True)]
    points = [(x(a), y(m["value"])) for a, m in zip(alphas, measures, strict=True)]
    parts += [path(band, "band", closed=True), path(floor, "floor"), path(points, "curve")]
    at = x(recommended)
    anchor = "start" if at < x.start + 80 else "end" if at > x.end - 40 else "middle"
    parts += [line((at, 256), (at, 58), "mark-line"), text(at, 54, f"recommended α = {recommended:g}", "label-mark", anchor)]
    for alpha, m, point in zip(alphas, measures, points, strict=True):
        parts.append(_alpha_dot(point, alpha, recommended, f"{name} {_interval(m)}, random floor {number(m['floor'])}"))
    ends = spread([points[-1][1], floor[-1][1]], 17, 62, 256)
    parts.append(text(x.end + 14, ends[0] + 4, name, "label-curve"))
    parts.append(text(x.end + 14, ends[1] + 4, "random floor", "label-floor"))
    label = f"{name} over alpha: {plain(key.attribute)}, {benchmark_label(key.benchmark)}, {key.target} target"
    return chart(700, 286, label, parts)


def accuracy_over_alpha(
    rows: Sequence[Mapping], names: Sequence[str], recommended: float, budget: float | None = None, *, width: int = 700
) -> Markup:
    """The accuracies ``names`` over α as points of change against α = 0; ``budget``, a fraction, draws the accepted loss.
    Empty if there are no names."""
    if not names:
        return Markup()
    alphas = [row["alpha"] for row in rows]
    origin = next(row for row in rows if _same(row["alpha"], 0.0))["accuracy"]
    changes = {name: [100 * (row["accuracy"][name] - origin[name]) for row in rows] for name in names}
    loss = [] if budget is None else [-100 * budget]
    marks = ticks(min(0.0, *loss, *map(min, changes.values())), max(0.0, *map(max, changes.values())), 5)
    x, y = _alpha_scale(alphas, width), Scale(marks[0], marks[-1], 232, 44)
    title = "Accuracy against α = 0 (percentage points)"
    parts = frame(x, y, alphas, marks, _ALPHA_TITLE, title, "{:g}".format, lambda v: signed(v, decimals(marks)))
    parts += [line((x.start, y(0)), (x.end, y(0)), "zero"), line((x(recommended), 232), (x(recommended), 44), "mark-line")]
    for points in loss:
        words = f"accepted loss: {-points:g} {'point' if points == -1 else 'points'}"
        parts.append(line((x.start, y(points)), (x.end, y(points)), "budget"))
        parts.append(text(x.start + 6, y(points) + 14, words, "label-budget"))
    places = spread([y(changes[name][-1]) for name in names], 16, 44, 264)
    for i, name in enumerate(names):
        colour = _COLOURS[i % len(_COLOURS)]
        points = [(x(a), y(v)) for a, v in zip(alphas, changes[name], strict=True)]
        parts.append(path(points, "series", stroke=colour))
        for alpha, change, point, row in zip(alphas, changes[name], points, rows, strict=True):
            words = f"{accuracy_label(name)} {percent(row['accuracy'][name])} ({signed(change)} points) at α = {alpha:g}"
            parts.append(dot(point, 2.6, "series-dot", words, fill=colour))
        parts.append(line((x.end + 3, points[-1][1]), (x.end + 11, places[i]), "leader"))
        parts.append(text(x.end + 14, places[i] + 4, accuracy_label(name), "label-series", style=f"fill:{colour}"))
    return chart(width, 282, "Change of accuracy over alpha", parts)


def metric_against_accuracy(rows: Sequence[Mapping], key: MeasureKey, accuracy: str, recommended: float) -> Markup:
    """The plane of ``accuracy`` and one fairness metric: one point per α, joined in the order of α."""
    measures = [magnitude(measure_at(row, key)) for row in rows]
    shares = [row["accuracy"][accuracy] for row in rows]
    x_marks = ticks(100 * min(shares), 100 * max(shares), 4)
    y_marks = ticks(0, max(max(m["high"], m["floor"]) for m in measures), 4)
    x, y = Scale(x_marks[0], x_marks[-1], _LEFT, 420), Scale(y_marks[0], y_marks[-1], 236, 58)
    name = metric_label(key.metric, magnitude=True)
    parts = frame(
        x, y, x_marks, y_marks,
        f"{accuracy_label(accuracy)}: accuracy (%), further right is better", f"{name} (nats), lower is fairer",
        lambda v: number(v, decimals(x_marks)), lambda v: number(v, decimals(y_marks)),
    )  # fmt: skip
    floor = y(measures[0]["floor"])
    parts += [line((x.start, floor), (x.end, floor), "floor"), text(x.end, floor + 15, "random floor", "label-floor", "end")]
    points = [(x(100 * share), y(m["value"])) for share, m in zip(shares, measures, strict=True)]
    parts += [line((p[0], y(m["low"])), (p[0], y(m["high"])), "whisker-light") for p, m in zip(points, measures, strict=True)]
    parts.append(path(points, "curve"))
    for i, (row, m, point) in enumerate(zip(rows, measures, points, strict=True)):
        alpha = row["alpha"]
        words = f"{accuracy_label(accuracy)} {percent(row['accuracy'][accuracy])}, {name} {_interval(m)}"
        parts.append(_alpha_dot(point, alpha, recommended, words))
        if _same(alpha, recommended) or i in (0, len(rows) - 1):
            style = "label-mark" if _same(alpha, recommended) else "label-point"
            parts.append(_label_off_curve(points, i, f"α = {alpha:g}", style, x))
    label = f"{name} against {accuracy_label(accuracy)}: {plain(key.attribute)}, {benchmark_label(key.benchmark)}"
    return chart(440, 286, label, parts)


def _label_off_curve(points: Sequence[Point], i: int, words: str, style: str, x: Scale) -> Markup:
    """A label beside point ``i`` on the side where its neighbours are not."""
    here, before, after = points[i], points[max(i - 1, 0)], points[min(i + 1, len(points) - 1)]
    towards = [_unit(here, other) for other in (before, after) if other != here]
    away = _unit((sum(t[0] for t in towards), sum(t[1] for t in towards)), (0.0, 0.0))
    along = _unit(before, after)
    across = (along[1], -along[0]) if along[0] >= 0 else (-along[1], along[0])
    # On a straight stretch the neighbours pull both ways and `away` says little; at an edge it may point out of the plot.
    straight = len(towards) == 2 and math.hypot(towards[0][0] + towards[1][0], towards[0][1] + towards[1][1]) < 0.2
    leaves = here[0] + 70 * away[0] < x.start or here[0] + 70 * away[0] > x.end
    dx, dy = across if straight or leaves else away
    anchor = "start" if dx > 0.4 else "end" if dx < -0.4 else "middle"
    return text(here[0] + 13 * dx, here[1] + 5 + 15 * dy, words, style, anchor)


def _unit(start: Point, end: Point) -> Point:
    length = math.dist(start, end) or 1.0
    return (end[0] - start[0]) / length, (end[1] - start[1]) / length


def _alpha_scale(alphas: Sequence[float], width: int) -> Scale:
    return Scale(alphas[0], alphas[-1] if alphas[-1] > alphas[0] else alphas[0] + 1, _LEFT, width - _RIGHT)


def _alpha_dot(point: Point, alpha: float, recommended: float, words: str) -> Markup:
    radius, style = (6.5, "mark") if _same(alpha, recommended) else (3.6, "curve-dot")
    return dot(point, radius, style, f"α = {alpha:g}: {words}", data_alpha=f"{alpha:g}")


def _interval(measure: Mapping[str, float]) -> str:
    return f"{number(measure['value'])} ({number(measure['low'])} to {number(measure['high'])})"


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, abs_tol=1e-9)
