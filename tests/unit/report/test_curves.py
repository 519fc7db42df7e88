from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from cfray.report.curves import accuracy_over_alpha, metric_against_accuracy, metric_over_alpha
from cfray.report.summary import MeasureKey, rows_by_alpha

KEYS = [MeasureKey("portraits", "gender", f"{family}@100", "uniform") for family in ("maxskew", "minskew", "ndkl")]


def circles(svg: str) -> dict[str, dict[str, str]]:
    return {e.attrib["data-alpha"]: e.attrib for e in ElementTree.fromstring(svg).iter("circle") if "data-alpha" in e.attrib}


@pytest.mark.parametrize("key", KEYS, ids=[key.family for key in KEYS])
@pytest.mark.parametrize("recommended", [0.0, 0.7, 1.0])
def test_one_point_per_alpha_and_the_marker_at_the_recommended_one(result, key, recommended):
    rows = rows_by_alpha(result)
    for svg in (metric_over_alpha(rows, key, recommended), metric_against_accuracy(rows, key, "zero_shot_things", recommended)):
        points = circles(svg)
        assert list(points) == [f"{row['alpha']:g}" for row in rows]
        assert [alpha for alpha, point in points.items() if point["class"] == "mark"] == [f"{recommended:g}"]
    assert f"recommended α = {recommended:g}" in metric_over_alpha(rows, key, recommended)


@pytest.mark.parametrize("key", KEYS, ids=[key.family for key in KEYS])
def test_less_skew_is_lower_on_the_page_for_every_metric(result, key):
    heights = [float(point["cy"]) for point in circles(metric_over_alpha(rows_by_alpha(result), key, 0.7)).values()]
    assert heights == sorted(heights)
    assert heights[0] < heights[-1]


def test_floor_and_band_are_drawn_where_the_numbers_are(result):
    rows = rows_by_alpha(result)
    for row in rows:
        row["fairness"]["portraits"]["gender"]["maxskew@100"]["uniform"] = {"value": 0.4, "low": 0.3, "high": 0.5, "floor": 0.1}
    svg = ElementTree.fromstring(metric_over_alpha(rows, KEYS[0], 0.7))
    paths = {e.attrib["class"]: [float(y) for y in re.findall(r" ([\d.]+)", e.attrib["d"])] for e in svg.iter("path")}
    value, floor, band = paths["curve"][0], paths["floor"][0], paths["band"]
    per_nat = (floor - value) / 0.3
    assert set(paths["floor"]) == {floor}
    assert min(band) == pytest.approx(value - 0.1 * per_nat, abs=0.2)
    assert max(band) == pytest.approx(value + 0.1 * per_nat, abs=0.2)


def test_everything_drawn_lies_inside_the_picture(result):
    rows = rows_by_alpha(result)
    rows[3]["fairness"]["portraits"]["gender"]["maxskew@100"]["uniform"]["high"] = 3.2
    for svg in (metric_over_alpha(rows, KEYS[0], 0.7), metric_against_accuracy(rows, KEYS[0], "zero_shot_things", 0.7)):
        root = ElementTree.fromstring(svg)
        width, height = map(float, root.attrib["viewBox"].split()[2:])
        assert all(0 <= float(e.attrib["cx"]) <= width and 0 <= float(e.attrib["cy"]) <= height for e in root.iter("circle"))
        for element in root.iter("path"):
            numbers = [float(n) for n in re.findall(r"-?[\d.]+", element.attrib["d"])]
            assert min(numbers) >= 0
            assert max(numbers[0::2]) <= width
            assert max(numbers[1::2]) <= height


def test_accuracy_is_drawn_as_points_of_change_with_the_accepted_loss(result):
    rows = rows_by_alpha(result)
    svg = accuracy_over_alpha(rows, ["zero_shot_things", "recall@5_text_to_image"], 0.7, 0.01)
    assert "Zero-shot, things 90.2\u202f% (0.0 points) at α = 0" in svg
    assert "Zero-shot, things 89.0\u202f% (\u22121.2 points) at α = 1" in svg
    assert "accepted loss: 1 point<" in svg
    assert "accepted loss" not in accuracy_over_alpha(rows, ["zero_shot_things"], 0.7)


def test_no_accuracy_no_chart(result):
    assert accuracy_over_alpha(rows_by_alpha(result), [], 0.7) == ""
