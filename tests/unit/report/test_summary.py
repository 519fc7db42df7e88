from __future__ import annotations

import pytest

from cfray.report.summary import MeasureKey, before_and_after, magnitude, measure_keys, reduction_above_floor, rows_by_alpha


def measure(value: float, floor: float) -> dict[str, float]:
    return {"value": value, "low": value, "high": value, "floor": floor}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (measure(0.5, 0.1), measure(0.2, 0.1), 0.75),
        (measure(0.5, 0.1), measure(0.5, 0.1), 0.0),
        (measure(0.5, 0.1), measure(0.1, 0.1), 1.0),
        (measure(0.5, 0.1), measure(0.06, 0.1), 1.1),
        (measure(0.5, 0.1), measure(0.7, 0.1), -0.5),
        (measure(-0.5, -0.1), measure(-0.2, -0.1), 0.75),
    ],
)
def test_reduction_above_floor_by_hand(before, after, expected):
    assert reduction_above_floor(before, after) == pytest.approx(expected)


@pytest.mark.parametrize("value", [0.1, 0.05, -0.1])
def test_nothing_to_reduce_at_or_under_the_floor(value):
    assert reduction_above_floor(measure(value, 0.1), measure(0.01, 0.1)) is None


def test_magnitude_swaps_the_ends_of_a_negative_interval():
    assert magnitude({"value": -0.4, "low": -0.5, "high": -0.3, "floor": -0.1}) == {
        "value": 0.4, "low": 0.3, "high": 0.5, "floor": 0.1,
    }  # fmt: skip


def test_rows_come_in_the_order_of_alpha(result):
    result["alphas"].reverse()
    assert [row["alpha"] for row in rows_by_alpha(result)] == [round(0.1 * i, 1) for i in range(11)]


def test_recommended_alpha_is_found_despite_rounding(result):
    result["recommended_alpha"] = 0.1 + 0.2
    assert before_and_after(result)[1]["alpha"] == 0.3


def test_alpha_that_was_not_evaluated_is_named(result):
    result["recommended_alpha"] = 0.75
    with pytest.raises(ValueError, match=r"recommended_alpha: alpha=0\.75 .*0, 0\.1, .*, 1\)"):
        before_and_after(result)


def test_the_original_model_is_required(result):
    result["alphas"] = [row for row in result["alphas"] if row["alpha"] > 0]
    with pytest.raises(ValueError, match="the original model: alpha=0 "):
        rows_by_alpha(result)


def test_another_schema_is_refused(result):
    result["schema"] = 2
    with pytest.raises(ValueError, match="schema=2"):
        rows_by_alpha(result)


def test_measure_keys_are_all_combinations_once(result):
    result["alphas"][0]["fairness"]["portraits"]["gender"] |= {"absent_groups": 3, "groups": {"woman": {"members": 9}}}
    keys = measure_keys(result["alphas"][0])
    assert len(keys) == len(set(keys)) == 4 * 2 * 3 * 2
    assert keys[0] == MeasureKey("portraits", "gender", "maxskew@100", "uniform")
    assert {key.family for key in keys} == {"maxskew", "minskew", "ndkl"}
