from __future__ import annotations

import numpy as np
import pytest

from cfray.metrics import max_skew, ndkl, rank_fairness
from cfray.metrics.resampling import METRICS, GalleryResampler


def resample_by_hand(scores, groups, counts, k):
    """Build the resampled gallery and rank it."""
    drawn = np.repeat(np.arange(len(groups)), counts)
    order = np.argsort(-scores[:, drawn], axis=1, kind="stable")[:, :k]
    return groups[drawn][order]


@pytest.mark.parametrize("prefix", [None, 1])
@pytest.mark.parametrize("k", [1, 7, 60])
def test_a_resample_is_the_ranking_of_the_drawn_gallery(k, prefix):
    rng = np.random.default_rng(0)
    scores, groups = rng.integers(0, 20, size=(5, 60)).astype(float), rng.integers(0, 3, size=60)
    rankings = GalleryResampler(scores, k, prefix=k if prefix else None)
    for _ in range(20):
        counts = np.bincount(rng.integers(60, size=60), minlength=60)
        np.testing.assert_array_equal(groups[rankings.top(counts)], resample_by_hand(scores, groups, counts, k))


def test_drawing_every_item_once_is_the_gallery_itself():
    rng = np.random.default_rng(1)
    rankings = GalleryResampler(rng.normal(size=(4, 50)), 20)
    np.testing.assert_array_equal(rankings.top(), rankings.top(np.ones(50, dtype=int)))


def gallery(rng, distance, n_queries=8, n=300):
    """Scores of random queries over images of two groups whose centres lie apart."""
    groups = rng.integers(0, 2, size=n)
    centres = np.array([[-distance], [distance]]) * np.ones(16)
    return rng.normal(size=(n_queries, 16)) @ (centres[groups] + rng.normal(size=(n, 16))).T, groups


def test_intervals_cover_the_expected_value():
    rng = np.random.default_rng(0)
    points = [rank_fairness(*gallery(rng, 0.3), k=50, n_floor=0, n_bootstrap=0) for _ in range(400)]
    results = [rank_fairness(*gallery(rng, 0.3), k=50, n_floor=0, n_bootstrap=100) for _ in range(80)]
    for metric in METRICS:
        expected = np.mean([point.mean[metric].value for point in points])
        covered = np.mean([result.mean[metric].low <= expected <= result.mean[metric].high for result in results])
        assert covered >= 0.88, metric


def test_plain_percentiles_leave_out_the_value_of_a_blind_ranker():
    rng = np.random.default_rng(0)
    inside = {"plain": 0, "recentred": 0}
    for _ in range(10):
        scores, groups = rng.normal(size=(24, 1000)), rng.integers(0, 7, size=1000)
        result = rank_fairness(scores, groups, k=100, n_floor=0, n_bootstrap=100)
        mean = result.mean["ndkl"]
        low, high = np.quantile(result.resampled_means["ndkl"], [0.025, 0.975])
        inside["plain"] += low <= mean.value <= high
        inside["recentred"] += mean.low <= mean.value <= mean.high
    assert inside["plain"] <= 1
    assert inside["recentred"] == 10


def test_a_group_lost_in_a_resample_is_left_out_of_it():
    # One image of group 1: about a third of the resamples do not have it.
    scores, groups = np.linspace(1, 0, 12)[None], np.array([0] * 11 + [1])
    result = rank_fairness(scores, groups, k=3, target="pool", n_bootstrap=200, n_floor=50)
    assert np.isfinite(result.resampled_means["max_skew"]).all()
    assert np.isfinite(result.resampled_means["ndkl"]).all()


@pytest.mark.parametrize(
    ("sizes", "published"),
    [
        ((5792, 5162), {("max_skew", "uniform"): 0.058, ("max_skew", "pool"): 0.023, ("ndkl", "pool"): 0.013}),
        (
            (2085, 1623, 1556, 1550, 1516, 1415, 1209),
            {("max_skew", "uniform"): 0.29, ("max_skew", "pool"): 0.10, ("ndkl", "pool"): 0.057},
        ),
    ],
    ids=["gender", "race"],
)
def test_random_floors_of_fairface_val(sizes, published):
    # Group sizes of the official validation split, k = 1000.
    groups = np.repeat(np.arange(len(sizes)), sizes)
    for (metric, target), floor in published.items():
        result = rank_fairness(np.zeros((1, len(groups))), groups, k=1000, target=target, n_floor=800, n_bootstrap=0)
        # Half a unit of the last published digit and three standard errors of the mean over 800 permutations.
        rounding = 0.005 if floor >= 0.1 else 0.0005
        assert result.mean[metric].floor == pytest.approx(floor, abs=rounding + (0.0065 if floor >= 0.1 else 0.003))


def test_floors_agree_with_hypergeometric_draws():
    sizes = np.array([200, 120, 80])
    mean = rank_fairness(
        np.zeros((1, 400)), np.repeat([0, 1, 2], sizes), k=100, target="pool", n_floor=4000, n_bootstrap=0
    ).mean
    counts = np.random.default_rng(1).multivariate_hypergeometric(sizes, 100, size=20_000)
    skew = np.log(counts / 100 / (sizes / 400))
    assert mean["max_skew"].floor == pytest.approx(skew.max(axis=1).mean(), abs=0.006)
    assert mean["min_skew"].floor == pytest.approx(skew.min(axis=1).mean(), abs=0.006)


def test_floor_is_the_mean_over_permutations():
    groups = np.array([0] * 30 + [1] * 10)
    mean = rank_fairness(np.zeros((1, 40)), groups, k=10, n_floor=2000, n_bootstrap=0).mean
    rng = np.random.default_rng(5)
    tops = [rng.permutation(groups) for _ in range(2000)]
    assert mean["max_skew"].floor == pytest.approx(np.mean([max_skew(top, k=10) for top in tops]), abs=0.015)
    assert mean["ndkl"].floor == pytest.approx(np.mean([ndkl(top, k=10) for top in tops]), abs=0.01)
