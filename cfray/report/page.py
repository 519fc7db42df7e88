"""The report as one HTML page that needs nothing else: no network, no other file, and no script to be readable."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cfray.report.bars import before_after_bars
from cfray.report.curves import accuracy_over_alpha, metric_against_accuracy, metric_over_alpha
from cfray.report.gallery import GallerySet, gallery_cards
from cfray.report.headline import accuracy_changes, write_headline
from cfray.report.summary import before_and_after, measure_keys, names_appearance, rows_by_alpha
from cfray.report.tables import alpha_table
from cfray.report.words import benchmark_label, duration, metric_label, plain


class Menu(NamedTuple):
    """A dropdown: its label and its (value, words) options."""

    label: str
    options: list[tuple[str, str]]


class Chooser(NamedTuple):
    """Figures of which the dropdowns show one; each figure's key is a JSON list with one value per menu."""

    menus: list[Menu]
    figures: list[tuple[str, object]]


def render_report(result: Mapping, gallery: Sequence[GallerySet], *, title: str) -> str:
    """The report on one run as a self-contained HTML page.

    Args:
        result: the content of ``result.json``, schema 1. Accuracies and the optional ``accuracy_budget`` (the loss that the
            choice of α accepts) are fractions, fairness metrics are in nats.
        gallery: the sets to show, in this order.
        title: the heading of the page. Like every string of the result and the gallery it is escaped.

    Raises:
        ValueError: for another schema, an α that the result lacks, or an image of the gallery that cannot be read.
    """
    rows = rows_by_alpha(result)
    before, after = before_and_after(result)
    recommended, accuracies = result["recommended_alpha"], list(rows[0]["accuracy"])
    keys = measure_keys(rows[0])
    benchmarks = _options((key.benchmark for key in keys), benchmark_label)
    attributes = _options((key.attribute for key in keys), lambda attribute: plain(attribute).capitalize())
    targets = _options((key.target for key in keys), plain)
    metrics = _options((key.metric for key in keys), lambda metric: metric_label(metric, magnitude=True))
    names = ("Benchmark", "Attribute", "Metric", "Target")
    curve_menus = [Menu(*menu) for menu in zip(names, (benchmarks, attributes, metrics, targets), strict=True)]
    curves = [
        (
            [key.benchmark, key.attribute, key.metric, key.target],
            (metric_over_alpha(rows, key, recommended), metric_against_accuracy(rows, key, accuracies[0], recommended)),
        )
        for key in keys
    ]
    bars = {(a, t): before_after_bars(before, after, a, t) for a, _ in attributes for t, _ in targets}
    script = Markup(_data("page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    loader = PackageLoader("cfray.report", "data")
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return templates.get_template("page.html.j2").render(
        title=title, style=Markup(_data("page.css")), script=script, script_digest=digest,
        headline=write_headline(result), result=result, alpha=f"{recommended:g}", row_count=len(rows),
        curves=_chooser(curve_menus, curves),
        context_accuracy=accuracy_over_alpha(
            rows, [name for name in accuracies if not names_appearance(name)], recommended, result.get("accuracy_budget")
        ),
        appearance_accuracy=accuracy_over_alpha(
            rows, [name for name in accuracies if names_appearance(name)], recommended, width=440
        ),
        bars=_chooser([Menu("Target", targets)], [([t], [(name, bars[a, t]) for a, name in attributes]) for t, _ in targets]),
        accuracy_changes=accuracy_changes(result),
        tables=_chooser(
            [Menu("Benchmark", benchmarks), Menu("Target", targets)],
            [([b, t], alpha_table(rows, b, t, recommended)) for b, _ in benchmarks for t, _ in targets],
        ),
        reasons=sorted(result["sets"]["rejected"].items(), key=lambda item: -item[1]), cards=gallery_cards(gallery),
        stages=result["seconds"].items(), total_seconds=sum(result["seconds"].values()),
        model_place=json.dumps(f"local-dir:{result['checkpoint']}", ensure_ascii=False), plain=plain, duration=duration,
    )  # fmt: skip


def _options(values: Iterable[str], words: Callable[[str], str]) -> list[tuple[str, str]]:
    return [(value, words(value)) for value in dict.fromkeys(values)]


def _chooser(menus: list[Menu], figures: list[tuple[list[str], object]]) -> Chooser:
    return Chooser(menus, [(json.dumps(key), figure) for key, figure in figures])


def _data(name: str) -> str:
    return resources.files("cfray.report").joinpath("data", name).read_text(encoding="utf-8")
