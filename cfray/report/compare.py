"""The page of a comparison: interval bars, trade-off, skew of every group and concept; and the page of contact sheets."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cfray.report.page import Chooser, Menu, _chooser, _data, _options
from cfray.report.summary import MeasureKey, magnitude, measure_at, measure_keys
from cfray.report.svg import Scale, chart, decimals, dot, frame, line, spread, tag, text, ticks
from cfray.report.words import accuracy_label, benchmark_label, metric_label, number, percent, plain, signed

_ROW, _TOP, _LABELS, _CELL = 30, 36, 190, 46
_COLOURS = ("#0072b2", "#00805c", "#b0457f", "#b35a00", "#2b9fd0", "#7a5195", "#6b6b00", "#444b55")


def render_comparison(result: Mapping) -> str:
    """A self-contained HTML page of the result of ``cfray.evaluate.compare.comparison``."""
    first = result["models"][result["reference"]]
    keys = measure_keys(first)
    names = list(result["models"])
    menus = [
        Menu("Benchmark", _options((key.benchmark for key in keys), benchmark_label)),
        Menu("Attribute", _options((key.attribute for key in keys), lambda attribute: plain(attribute).capitalize())),
        Menu("Metric", _options((key.metric for key in keys), lambda metric: metric_label(metric, magnitude=True))),
        Menu("Target", _options((key.target for key in keys), plain)),
    ]
    accuracy = next(iter(first["accuracy"]), None)
    figures = [
        (list(key), (interval_bars(result, key), trade_off(result, key, accuracy) if accuracy else Markup())) for key in keys
    ]
    heat = [
        ([gallery, attribute, k], heat_maps(cells))
        for gallery, attributes in result["skew"].items()
        for attribute, tops in attributes.items()
        for k, cells in tops.items()
    ]
    heat_menus = [
        Menu("Benchmark", _options((key[0] for key, _ in heat), benchmark_label)),
        Menu("Attribute", _options((key[1] for key, _ in heat), lambda attribute: plain(attribute).capitalize())),
        Menu("k", _options((key[2] for key, _ in heat), str)),
    ]
    accuracies = [
        (accuracy_label(name), [_accuracy_cell(result, model, name) for model in names]) for name in first["accuracy"]
    ]
    return _page(
        "compare.html.j2", title="Comparison of models", result=result, names=names, accuracies=accuracies,
        curves=_chooser(menus, figures), heat=_chooser(heat_menus, heat) if heat else Chooser([], []),
    )  # fmt: skip


def render_sheets(sheets: Mapping[str, Mapping[str, Mapping[str, Sequence[tuple[str, bytes]]]]]) -> str:
    """A page of the first results: {gallery: {concept: {model: [(name, JPEG bytes), ...]}}}. It holds the pictures."""
    embedded = {
        gallery: {
            concept: {
                model: [(name, f"data:image/jpeg;base64,{base64.b64encode(content).decode()}") for name, content in pictures]
                for model, pictures in models.items()
            }
            for concept, models in concepts.items()
        }
        for gallery, concepts in sheets.items()
    }
    return _page("sheets.html.j2", title="First results of every model", sheets=embedded)


def interval_bars(result: Mapping, key: MeasureKey) -> Markup:
    """One bar per model with its interval and random floor; beside it the paired difference to the reference."""
    measures = {name: magnitude(measure_at(point, key)) for name, point in result["models"].items()}
    marks = ticks(0, max(max(m["high"], m["floor"]) for m in measures.values()), 4)
    x, bottom = Scale(marks[0], marks[-1], _LABELS, 500), _TOP + _ROW * len(measures)
    name = metric_label(key.metric, magnitude=True)
    parts = [text(_LABELS, 16, f"{name} (nats), shorter is fairer", "axis-title")]
    parts.append(text(520, 16, f"difference to {result['reference']}", "axis-title"))
    for mark in marks:
        parts.append(line((x(mark), _TOP - 8), (x(mark), bottom), "grid"))
        parts.append(text(x(mark), bottom + 16, number(mark, decimals(marks)), "tick", "middle"))
    for i, (model, m) in enumerate(measures.items()):
        y = _TOP + _ROW * i + 4
        words = f"{model}: {number(m['value'])} ({number(m['low'])} to {number(m['high'])}), floor {number(m['floor'])}"
        style = "bar-before" if model == result["reference"] else "bar-after"
        parts.append(text(0, y + 14, model, "row-label"))
        parts.append(
            tag("rect", tag("title", words), x=x.start, y=y, width=max(x(m["value"]) - x.start, 0.5), height=18, class_=style)
        )
        parts.append(line((x(m["low"]), y + 9), (x(m["high"]), y + 9), "whisker"))
        parts += [line((x(end), y + 5), (x(end), y + 13), "whisker") for end in (m["low"], m["high"])]
        parts.append(line((x(m["floor"]), y - 2), (x(m["floor"]), y + 20), "floor-tick"))
        if model != result["reference"]:
            rows = result["differences"][model]["fairness"].get(key.benchmark, {}).get(key.attribute, {}).get(key.metric, {})
            if key.target in rows:
                parts.append(text(520, y + 14, _difference(rows[key.target], 3), "row-label"))
    return chart(760, bottom + 26, f"{name} of every model", parts)


def trade_off(result: Mapping, key: MeasureKey, accuracy: str) -> Markup:
    """Accuracy against one fairness metric, one point per model with its interval; names stand beside the plot, kept apart."""
    measures = {name: magnitude(measure_at(point, key)) for name, point in result["models"].items()}
    shares = {name: 100 * point["accuracy"][accuracy] for name, point in result["models"].items()}
    x_marks = ticks(min(shares.values()), max(shares.values()), 4)
    y_marks = ticks(0, max(max(m["high"], m["floor"]) for m in measures.values()), 4)
    x, y = Scale(x_marks[0], x_marks[-1], 52, 300), Scale(y_marks[0], y_marks[-1], 236, 40)
    name = metric_label(key.metric, magnitude=True)
    parts = frame(
        x, y, x_marks, y_marks, f"{accuracy_label(accuracy)} (%), further right is better", f"{name} (nats), lower is fairer",
        lambda v: number(v, decimals(x_marks)), lambda v: number(v, decimals(y_marks)),
    )  # fmt: skip
    floor = y(next(iter(measures.values()))["floor"])
    parts.append(line((x.start, floor), (x.end, floor), "floor"))
    places = spread([y(m["value"]) for m in measures.values()], 16, y.end, y.start)
    for i, ((model, m), place) in enumerate(zip(measures.items(), places, strict=True)):
        at, colour = x(shares[model]), _COLOURS[i % len(_COLOURS)]
        parts.append(line((at, y(m["low"])), (at, y(m["high"])), "whisker-light"))
        words = f"{model}: {accuracy_label(accuracy)} {number(shares[model], 1)} %, {name} {number(m['value'])}"
        parts.append(dot((at, y(m["value"])), 5, "series-dot", words, fill=colour))
        parts.append(text(x.end + 14, place + 4, model, "label-series", style=f"fill:{colour}"))
    return chart(440, 286, f"{name} against {accuracy_label(accuracy)}", parts)


def heat_maps(cells: Mapping) -> list[tuple[str, Markup]]:
    """Per model a map of the skew of every concept (row) and group (column): blue under-, orange over-represented."""
    limit = max((abs(v) for rows in cells["models"].values() for row in rows for v in row), default=0.0) or 1.0
    return [(model, _heat_map(cells["concepts"], cells["groups"], rows, limit)) for model, rows in cells["models"].items()]


def _heat_map(concepts: Sequence[str], groups: Sequence[str], rows: Sequence[Sequence[float]], limit: float) -> Markup:
    parts, left, top = [], 150, 92
    for j, group in enumerate(groups):
        at = left + _CELL * j + _CELL / 2
        parts.append(text(at, top - 6, group, "tick", "start", transform=f"rotate(-40 {at:.0f} {top - 6})"))
    for i, (concept, row) in enumerate(zip(concepts, rows, strict=True)):
        parts.append(text(left - 8, top + 20 * i + 14, concept, "tick", "end"))
        for j, value in enumerate(row):
            place = {"x": left + _CELL * j, "y": top + 20 * i, "width": _CELL - 1, "height": 19}
            words = f"{concept}, {groups[j]}: skew {signed(value, 2)}"
            parts.append(tag("rect", tag("title", words), fill=_shade(value / limit), **place))
            parts.append(text(place["x"] + _CELL / 2, place["y"] + 14, signed(value, 1), "heat", "middle"))
    return chart(left + _CELL * len(groups) + 80, top + 20 * len(concepts) + 8, "skew per concept and group", parts)


def _shade(share: float) -> str:
    """A colour from blue (-1) over white to orange (1)."""
    end = (230, 130, 40) if share > 0 else (40, 130, 200)
    weight = min(1.0, abs(share)) * 0.9
    return "#" + "".join(f"{round(255 + (channel - 255) * weight):02x}" for channel in end)


def _accuracy_cell(result: Mapping, model: str, name: str) -> tuple[str, str]:
    value = percent(result["models"][model]["accuracy"][name])
    difference = result["differences"].get(model, {}).get("accuracy", {}).get(name)
    if difference is None:
        return value, ""
    points = {key: 100 * part for key, part in difference.items()}
    return value, _difference(points, 1)


def _difference(interval: Mapping[str, float], places: int) -> str:
    value, low, high = (signed(interval[key], places) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high}){'' if interval['low'] <= 0 <= interval['high'] else ' *'}"


def _page(template: str, **values: object) -> str:
    script = Markup(_data("page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    loader = PackageLoader("cfray.report", "data")
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return templates.get_template(template).render(
        style=Markup(_data("page.css")), script=script, script_digest=digest, plain=plain, json=json, **values
    )
