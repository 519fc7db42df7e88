from __future__ import annotations

import math

import numpy as np
import pytest

from cfray.metrics import bootstrap_interval, paired_bootstrap_interval


def test_interval_of_a_mean_is_close_to_the_normal_one():
    values = np.random.default_rng(0).normal(loc=3, size=400)
    interval = bootstrap_interval(values, n_bootstrap=4000)
    assert interval.value == pytest.approx(values.mean())
    half = 1.96 * values.std() / math.sqrt(400)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_constant_values_have_no_width_and_seeds_repeat():
    assert bootstrap_interval([0.5] * 9).to_dict() == {"value": 0.5, "low": 0.5, "high": 0.5}
    values = np.arange(50.0)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


def test_pairing_removes_shared_spread():
    rng = np.random.default_rng(0)
    first = rng.normal(scale=10, size=300)
    second = first + 0.5 + 0.1 * rng.normal(size=300)
    paired = paired_bootstrap_interval(first, second)
    assert 0.45 < paired.low < paired.value < paired.high < 0.55


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, r"values have shape \(0,\)"),
        ([1.0, math.nan], {}, "1 of 2 values are NaN"),
        ([1.0], {"n_bootstrap": 0}, "n_bootstrap=0 is below 1"),
        ([1.0], {"confidence": 1.0}, "confidence=1.0 is not between 0 and 1"),
    ],
)
def test_bad_input(values, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(values, **options)


def test_pairs_must_match():
    with pytest.raises(ValueError, match=r"first has shape \(2,\) and second \(3,\)"):
        paired_bootstrap_interval([1, 2], [1, 2, 3])
