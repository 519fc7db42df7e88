from __future__ import annotations

from xml.etree import ElementTree

import pytest

from cfray.report.bars import before_after_bars
from cfray.report.summary import before_and_after

BENCHMARKS, METRICS = 4, 3


def elements(svg: str, kind: str, class_: str) -> list[dict[str, str]]:
    return [e.attrib for e in ElementTree.fromstring(svg).iter(kind) if e.attrib.get("class") == class_]


def test_every_benchmark_and_metric_has_two_bars_two_whiskers_and_two_floors(result):
    svg = before_after_bars(*before_and_after(result), "gender", "uniform")
    assert len(elements(svg, "rect", "bar-before")) == len(elements(svg, "rect", "bar-after")) == BENCHMARKS * METRICS
    assert len(elements(svg, "line", "floor-tick")) == 2 * BENCHMARKS * METRICS
    assert len(elements(svg, "line", "whisker")) == 3 * 2 * BENCHMARKS * METRICS
    assert len(elements(svg, "text", "change")) == BENCHMARKS * METRICS


def test_lengths_are_proportional_to_the_values(result):
    before, after = before_and_after(result)
    svg = before_after_bars(before, after, "skin_tone", "pool")
    first = before["fairness"]["portraits"]["skin_tone"]["minskew@100"]["pool"]["value"]
    second = after["fairness"]["portraits"]["skin_tone"]["minskew@100"]["pool"]["value"]
    old = float(elements(svg, "rect", "bar-before")[BENCHMARKS]["width"])
    new = float(elements(svg, "rect", "bar-after")[BENCHMARKS]["width"])
    assert new / old == pytest.approx(second / first, rel=0.01)


def test_the_change_is_the_reduction_above_the_floor(result):
    before, after = before_and_after(result)
    before["fairness"]["portraits"]["gender"]["maxskew@100"]["uniform"] = {"value": 0.5, "low": 0.4, "high": 0.6, "floor": 0.1}
    after["fairness"]["portraits"]["gender"]["maxskew@100"]["uniform"] = {"value": 0.2, "low": 0.1, "high": 0.3, "floor": 0.1}
    assert ">\u221275\u202f%<" in before_after_bars(before, after, "gender", "uniform")


def test_a_benchmark_with_another_k_is_drawn_under_a_heading_without_k(result):
    for row in result["alphas"]:
        metrics = row["fairness"]["people_in_scenes"]["gender"]
        metrics["maxskew@50"] = metrics.pop("maxskew@100")
    svg = before_after_bars(*before_and_after(result), "gender", "uniform")
    titles = [e.text for e in ElementTree.fromstring(svg).iter("text") if e.attrib["class"] == "column-title"]
    assert sorted(titles) == ["MaxSkew", "NDKL@100", "|MinSkew@100|"]
    assert len(elements(svg, "rect", "bar-after")) == BENCHMARKS * METRICS
