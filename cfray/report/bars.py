"""Bars of every benchmark before and after, with intervals and random floors, as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from cfray.report.summary import MeasureKey, magnitude, measure_at, measure_keys, reduction_above_floor
from cfray.report.svg import Scale, chart, decimals, line, tag, text, ticks
from cfray.report.words import benchmark_label, change_in_skew, metric_label, number, plain

_LABELS, _COLUMN, _BARS, _ROW, _TOP = 176, 332, 218, 56, 40


def before_after_bars(before: Mapping, after: Mapping, attribute: str, target: str) -> Markup:
    """One column per metric, one row per benchmark; ``before`` and ``after`` are rows of ``result["alphas"]``.

    Each metric of a benchmark is drawn at the first k listed for it, and its change is :func:`reduction_above_floor`.
    """
    keys = [key for key in measure_keys(before) if key.attribute == attribute and key.target == target]
    benchmarks = list(dict.fromkeys(key.benchmark for key in keys))
    families = list(dict.fromkeys(key.family for key in keys))
    bottom = _TOP + _ROW * len(benchmarks)
    parts = []
    for i, benchmark in enumerate(benchmarks):
        name, _, rest = benchmark_label(benchmark).partition(", ")
        middle = _TOP + _ROW * i + _ROW / 2
        parts.append(text(0, middle - (3 if rest else -4), name, "row-label"))
        parts.append(text(0, middle + 13, rest, "row-note"))
    for i, family in enumerate(families):
        column = [next((k for k in keys if (k.benchmark, k.family) == (b, family)), None) for b in benchmarks]
        parts += _column(before, after, column, _LABELS + i * _COLUMN, bottom)
    label = f"{plain(attribute)} before and after, {target} target"
    return chart(_LABELS + _COLUMN * len(families), bottom + 46, label, parts)


def _column(before: Mapping, after: Mapping, keys: Sequence[MeasureKey | None], left: float, bottom: float) -> list[Markup]:
    shown = [key for key in keys if key]
    pairs = {key: (magnitude(measure_at(before, key)), magnitude(measure_at(after, key))) for key in shown}
    marks = ticks(0, max(max(m["high"], m["floor"]) for pair in pairs.values() for m in pair), 3)
    x = Scale(marks[0], marks[-1], left, left + _BARS)
    names = {key.metric for key in shown}
    title = metric_label(shown[0].metric if len(names) == 1 else shown[0].family, magnitude=True)
    parts = [text(left, 18, title, "column-title")]
    for mark in marks:
        parts.append(line((x(mark), _TOP - 8), (x(mark), bottom), "grid"))
        parts.append(text(x(mark), bottom + 18, number(mark, decimals(marks)), "tick", "middle"))
    parts.append(text(left + _BARS / 2, bottom + 40, f"{title} (nats), shorter is fairer", "axis-title", "middle"))
    for i, key in enumerate(keys):
        if key:
            parts += _pair(x, *pairs[key], top=_TOP + _ROW * i + 10, name=metric_label(key.metric, magnitude=True))
    return parts


def _pair(x: Scale, before: Mapping[str, float], after: Mapping[str, float], *, top: float, name: str) -> list[Markup]:
    parts = []
    for which, measure, y in (("before", before, top), ("after", after, top + 19)):
        words = (
            f"{name} {which}: {number(measure['value'])} ({number(measure['low'])} to {number(measure['high'])}), "
            f"random floor {number(measure['floor'])}"
        )
        width = max(x(measure["value"]) - x.start, 0.5)
        parts.append(tag("rect", tag("title", words), x=x.start, y=y, width=width, height=16, class_=f"bar-{which}"))
        ends = (x(measure["low"]), y + 8), (x(measure["high"]), y + 8)
        parts.append(line(*ends, "whisker"))
        parts += [line((end[0], end[1] - 3.5), (end[0], end[1] + 3.5), "whisker") for end in ends]
        parts.append(line((x(measure["floor"]), y - 2), (x(measure["floor"]), y + 18), "floor-tick"))
    parts.append(text(x.end + 14, top + 13, change_in_skew(reduction_above_floor(before, after)), "change"))
    parts.append(text(x.end + 14, top + 31, f"{number(before['value'], 2)} → {number(after['value'], 2)}", "row-note"))
    return parts
