from __future__ import annotations

import math

import FairRankTune
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfray.metrics import ndkl


@st.composite
def rankings(draw):
    """(ranked groups, k) with 2 to 5 groups, each with a member."""
    n_groups = draw(st.integers(2, 5))
    rest = draw(st.lists(st.integers(0, n_groups - 1), max_size=40))
    ranked = draw(st.permutations([*range(n_groups), *rest]))
    return np.array(ranked), draw(st.integers(1, len(ranked)))


def brute_force_ndkl(ranked, k, target):
    total = norm = 0.0
    for i in range(1, k + 1):
        divergence = 0.0
        for group, goal in enumerate(target):
            share = sum(1 for g in ranked[:i] if g == group) / i
            divergence += share * math.log(share / goal) if share else 0.0
        total += divergence / math.log2(i + 1)
        norm += 1 / math.log2(i + 1)
    return total / norm


def shares(ranked, target):
    counts = np.bincount(ranked)
    return (np.full(len(counts), 1 / len(counts)) if target == "uniform" else counts / counts.sum()).tolist()


@pytest.mark.parametrize(
    ("n_groups", "floors"),
    [(2, {10: 0.162, 50: 0.057, 100: 0.035, 1000: 0.006}), (7, {10: 0.80, 50: 0.287, 100: 0.177, 1000: 0.030})],
)
def test_round_robin_floors(n_groups, floors):
    ranked = np.arange(1000 * n_groups) % n_groups
    for k, floor in floors.items():
        assert ndkl(ranked, k=k) == pytest.approx(floor, abs=5e-4)


@pytest.mark.parametrize("n_groups", [2, 3, 7])
def test_one_group_filling_the_top_reaches_the_maximum(n_groups):
    ranked = np.repeat(np.arange(n_groups), 30)
    assert ndkl(ranked, k=30) == pytest.approx(math.log(n_groups))
    unequal = np.repeat([0, 1], [10, 40])
    assert ndkl(unequal, k=10, target="pool") == pytest.approx(math.log(5))
    assert ndkl(unequal, k=10, target=[0.1, 0.9]) == pytest.approx(math.log(10))


def test_two_results_by_hand():
    # The first is one-sided (ln 2), the second balances it (0).
    weights = 1 / math.log2(2), 1 / math.log2(3)
    assert ndkl([0, 1, 0, 1], k=2) == pytest.approx(math.log(2) * weights[0] / sum(weights))


@given(rankings(), st.sampled_from(["uniform", "pool"]))
def test_agrees_with_the_formula_written_out(case, target):
    ranked, k = case
    assert ndkl(ranked, k=k, target=target) == pytest.approx(brute_force_ndkl(ranked, k, shares(ranked, target)), abs=1e-12)


def test_deep_rankings_stay_exact():
    ranked = np.random.default_rng(0).choice(7, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.04, 0.01], size=20_000)
    shares_at = np.cumsum(np.eye(7)[ranked], axis=0) / np.arange(1, len(ranked) + 1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        divergence = np.where(shares_at > 0, shares_at * np.log(shares_at * 7), 0).sum(axis=1)
    weights = 1 / np.log2(np.arange(len(ranked)) + 2)
    assert ndkl(ranked, k=len(ranked)) == pytest.approx(weights @ divergence / weights.sum(), abs=1e-12)


@given(rankings(), st.sampled_from(["uniform", "pool"]), st.data())
def test_invariant_to_labels(case, target, data):
    ranked, k = case
    labels = np.array(data.draw(st.permutations(range(int(ranked.max()) + 1))))
    assert ndkl(labels[ranked], k=k, target=target) == pytest.approx(ndkl(ranked, k=k, target=target), abs=1e-12)


@given(rankings(), st.randoms())
def test_exchanging_images_of_one_run_changes_nothing(case, random):
    # Images of one group in a row are interchangeable: a permutation inside each run leaves the value as it is.
    ranked, k = case
    runs = np.split(np.arange(len(ranked)), np.flatnonzero(np.diff(ranked)) + 1)
    order = np.concatenate([random.sample(run.tolist(), len(run)) for run in runs])
    assert ndkl(ranked[order], k=k) == ndkl(ranked, k=k)


@given(rankings(), st.sampled_from(["uniform", "pool"]))
def test_range(case, target):
    ranked, k = case
    assert 0 < ndkl(ranked, k=k, target=target) <= -math.log(min(shares(ranked, target))) + 1e-12


def test_order_counts_and_the_top_counts_most():
    late, early = [0, 1, 0, 1, 0, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 1, 0, 1, 0, 1]
    assert ndkl(early, k=10) > ndkl(late, k=10)


def test_absent_groups():
    ranked = [0] * 6 + [1] * 4 + [2] * 10 + [0] * 4 + [1] * 6
    assert ndkl(ranked, k=10, absent="laplace") == ndkl(ranked, k=10, absent="one") == ndkl(ranked, k=10)
    with pytest.raises(ValueError, match="group 2 is absent from the top 10; raise k or use absent='one'"):
        ndkl(ranked, k=10, absent="error")
    with pytest.raises(ValueError, match="absent='zero' is unknown"):
        ndkl(ranked, k=10, absent="zero")
    assert ndkl(ranked, k=11, absent="error") == ndkl(ranked, k=11)


def test_agrees_with_the_fairranktune_package():
    rng = np.random.default_rng(0)
    cases = [np.arange(35) % 7, np.repeat([0, 1, 2], 10), np.repeat([1, 0], [5, 40])]
    cases += [rng.permutation(np.r_[np.arange(n), rng.integers(n, size=60)]) for n in (2, 3, 7)]
    for ranked in cases:
        theirs = FairRankTune.NDKL(pd.DataFrame({"ranking": range(len(ranked))}), dict(enumerate(ranked.tolist())))
        # It measures whole rankings against their own shares and adds 1e-7 to every share before the logarithm.
        ours = ndkl(ranked, k=len(ranked), target="pool")
        assert ours == pytest.approx(theirs, abs=2e-6 * (ranked.max() + 1))


@pytest.mark.parametrize(
    ("ranked", "options", "message"),
    [
        ([0, 1], {"k": 3}, "k=3 is larger than the gallery of 2; lower k"),
        ([0, 1], {"k": None}, "k is missing"),
        ([0, 0], {"k": 1}, "one group only"),
        ([0, 2], {"k": 1}, r"group 1 of 0..2 has no member in the gallery of 2"),
        ([0, 1], {"k": 1, "target": [0.5]}, r"target has shape \(1,\), the gallery has 2 groups"),
    ],
)
def test_bad_input_is_a_one_line_error(ranked, options, message):
    with pytest.raises(ValueError, match=message) as error:
        ndkl(ranked, **options)
    assert "\n" not in str(error.value)
