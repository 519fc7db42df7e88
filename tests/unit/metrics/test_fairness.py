from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from cfray.metrics import fairness_summary, max_skew, min_skew, ndkl, paired_difference, rank_fairness


@pytest.fixture
def scores():
    return np.random.default_rng(0).normal(size=(6, 200)).astype(np.float32)


@pytest.fixture
def groups():
    return np.random.default_rng(1).choice(3, p=[0.5, 0.3, 0.2], size=200)


@pytest.mark.parametrize("target", ["uniform", "pool", [0.2, 0.3, 0.5]])
@pytest.mark.parametrize("absent", ["one", "laplace"])
def test_every_query_has_the_value_of_the_plain_functions(scores, groups, target, absent):
    result = rank_fairness(scores, groups, k=15, target=target, absent=absent, n_floor=0, n_bootstrap=0)
    ranked = groups[np.argsort(-scores, axis=1, kind="stable")]
    for query, ranking in enumerate(ranked):
        options = {"k": 15, "target": target, "absent": absent}
        assert result.max_skew[query] == pytest.approx(max_skew(ranking, **options), abs=1e-12)
        assert result.min_skew[query] == pytest.approx(min_skew(ranking, **options), abs=1e-12)
        assert result.ndkl[query] == pytest.approx(ndkl(ranking, **options), abs=1e-12)
    assert result.mean["ndkl"].value == pytest.approx(result.ndkl.mean())
    np.testing.assert_allclose(result.top_shares, [np.bincount(r[:15], minlength=3) / 15 for r in ranked])
    np.testing.assert_allclose(result.skew.max(axis=1), result.max_skew)


def test_ties_go_to_the_lower_index():
    groups = np.array([0, 1, 1, 1])
    assert rank_fairness(np.ones((1, 4)), groups, k=1, n_bootstrap=0).top_shares.tolist() == [[1.0, 0.0]]
    assert rank_fairness([[0.0, 1, 1, 0]], groups, k=3, n_bootstrap=0).top_shares[0] == pytest.approx([1 / 3, 2 / 3])


def test_absent_groups_are_counted_per_query():
    groups = np.repeat([0, 1, 2], 4)
    scores = np.array([np.arange(12), -np.arange(12), np.arange(12) % 4])
    result = rank_fairness(scores, groups, k=3, n_bootstrap=0)
    assert result.absent_groups.tolist() == [2, 2, 0]
    assert result.min_skew[:2] == pytest.approx([0.0, 0.0], abs=1e-12)  # 1/k is the target here: ln((1/3) / (1/3))
    with pytest.raises(ValueError, match="group 0 is absent from the top 3 of query 0; raise k or use absent='one'"):
        rank_fairness(scores, groups, k=3, absent="error")


def test_error_rule_is_about_measured_rankings_only():
    groups = np.repeat([0, 1], [97, 3])
    scores = np.where(groups == 1, 1.0, 0.0)[None]
    result = rank_fairness(scores, groups, k=6, absent="error", n_bootstrap=50, n_floor=50)
    assert result.mean["min_skew"].floor < 0


def test_intervals_hold_their_value_and_narrow_with_confidence(scores, groups):
    wide = rank_fairness(scores, groups, k=20, n_bootstrap=200, confidence=0.95)
    narrow = rank_fairness(scores, groups, k=20, n_bootstrap=200, confidence=0.5)
    for metric in ("max_skew", "min_skew", "ndkl"):
        mean, values = wide.mean[metric], getattr(wide, metric)
        assert mean.low < mean.value < mean.high
        assert mean.high - mean.low > narrow.mean[metric].high - narrow.mean[metric].low
        low, high = wide.query_intervals[metric].T
        assert low.shape == values.shape
        assert (low <= values).all()
        assert (values <= high).all()


def test_resampling_both_is_wider_than_resampling_either(scores, groups):
    width = {}
    for resample in ("both", "queries", "gallery"):
        mean = rank_fairness(scores, groups, k=20, resample=resample, n_bootstrap=500, n_floor=0).mean["max_skew"]
        width[resample] = mean.high - mean.low
    assert width["both"] > max(width["queries"], width["gallery"])


def test_resampling_queries_only_is_the_plain_bootstrap_of_their_mean(scores, groups):
    result = rank_fairness(scores, groups, k=20, resample="queries", n_bootstrap=2000, n_floor=0)
    spread = result.max_skew.std() / math.sqrt(len(scores))
    assert result.resampled_means["max_skew"].std() == pytest.approx(spread, rel=0.1)


def test_equal_seeds_draw_alike_and_floors_do_not_depend_on_the_model(scores, groups):
    first = rank_fairness(scores, groups, k=20, n_bootstrap=20, seed=3)
    again = rank_fairness(scores, groups, k=20, n_bootstrap=20, seed=3)
    other = rank_fairness(scores[:, ::-1], groups, k=20, n_bootstrap=20, seed=3)
    assert first.mean == again.mean
    assert first.mean["ndkl"].floor == other.mean["ndkl"].floor
    assert first.mean["ndkl"] != rank_fairness(scores, groups, k=20, n_bootstrap=20, seed=4).mean["ndkl"]


def test_without_draws_there_is_no_interval_and_no_floor(scores, groups):
    result = rank_fairness(scores, groups, k=20, n_bootstrap=0, n_floor=0)
    assert result.to_dict()["maxskew@20"] == {"value": result.max_skew.mean(), "low": None, "high": None, "floor": None}
    assert result.query_intervals == {}


def test_torch_scores_and_groups(scores, groups):
    numpy = rank_fairness(scores, groups, k=20, n_bootstrap=10)
    tensors = rank_fairness(torch.tensor(scores, requires_grad=True), torch.tensor(groups), k=20, n_bootstrap=10)
    assert numpy.mean == tensors.mean


def test_summary_has_both_targets_and_is_json(scores, groups):
    names = ["light", "medium", "dark"]
    summary = fairness_summary(scores, groups, k=20, group_names=names, seed=5, n_bootstrap=30, n_floor=40)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert list(summary) == ["maxskew@20", "minskew@20", "ndkl@20", "absent_groups", "groups"]
    for target in ("uniform", "pool"):
        alone = rank_fairness(scores, groups, k=20, target=target, seed=5, n_bootstrap=30, n_floor=40)
        assert {metric: summary[metric][target] for metric in list(summary)[:3]} == alone.to_dict()
    assert summary["absent_groups"] == alone.absent_groups.sum()
    assert {name: group["members"] for name, group in summary["groups"].items()} == dict(
        zip(names, np.bincount(groups).tolist(), strict=True)
    )
    assert sum(group["top_share"] for group in summary["groups"].values()) == pytest.approx(1)


def test_absent_pairs_are_counted_in_the_summary():
    groups = np.repeat([0, 1, 2], 4)
    scores = np.array([np.arange(12), -np.arange(12), np.arange(12) % 4])
    assert fairness_summary(scores, groups, k=3, group_names="abc", n_bootstrap=5, n_floor=5)["absent_groups"] == 4


def test_summary_names_the_group_without_a_member(scores, groups):
    with pytest.raises(ValueError, match="group 'unknown' has no member in the gallery of 200; leave its name out"):
        fairness_summary(scores, groups, k=20, group_names=["light", "medium", "dark", "unknown"])
    with pytest.raises(ValueError, match="groups have dtype <U6; give integer ids"):
        fairness_summary(scores, np.array(["light", "medium", "dark"])[groups], k=20, group_names=["light", "medium", "dark"])


def test_paired_differences(scores, groups):
    first = rank_fairness(scores, groups, k=20, n_bootstrap=300)
    fairer = scores + 0.02 * np.random.default_rng(2).normal(size=scores.shape)
    second = rank_fairness(fairer, groups, k=20, n_bootstrap=300)
    same = paired_difference(first, first)["max_skew"]
    assert (same.value, same.low, same.high) == (0, 0, 0)
    difference = paired_difference(first, second)["max_skew"]
    assert difference.value == pytest.approx(second.mean["max_skew"].value - first.mean["max_skew"].value)
    assert difference.low <= difference.value <= difference.high
    single = first.mean["max_skew"]
    assert difference.high - difference.low < (single.high - single.low) / 2


@pytest.mark.parametrize("change", [{"seed": 1}, {"k": 21}, {"target": "pool"}, {"n_bootstrap": 10}, {"resample": "gallery"}])
def test_only_equal_draws_are_paired(scores, groups, change):
    first = rank_fairness(scores, groups, k=20, n_bootstrap=20) if "k" not in change else rank_fairness(scores, groups, k=20)
    second = rank_fairness(scores, groups, **{"k": 20, "n_bootstrap": 20, **change})
    with pytest.raises(ValueError, match="the two results are not paired"):
        paired_difference(first, second)


def test_results_without_resamples_are_not_paired(scores, groups):
    point = rank_fairness(scores, groups, k=20, n_bootstrap=0)
    with pytest.raises(ValueError, match="n_bootstrap > 0"):
        paired_difference(point, point)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 1200}, "k=1200 is larger than the gallery of 200; lower k"),
        ({"k": None}, "k is missing"),
        ({"scores": np.zeros((0, 200))}, r"scores have shape \(0, 200\), that is no query; give at least one"),
        ({"scores": np.full((1, 200), np.nan)}, "scores hold 200 NaN of 200, first at query 0, image 0"),
        ({"groups": np.zeros(200, dtype=int)}, "the gallery of 200 has one group only"),
        ({"groups": np.arange(199) % 2}, "groups have 199 entries, scores rank a gallery of 200"),
        ({"groups": np.arange(200) % 2 * 2}, r"group 1 of 0..2 has no member in the gallery of 200"),
        ({"n_groups": 4}, r"group 3 of 0..3 has no member in the gallery of 200"),
        ({"target": [0.5, 0.5]}, r"target has shape \(2,\), the gallery has 3 groups"),
        ({"absent": "none"}, "absent='none' is unknown"),
        ({"resample": "images"}, "resample='images' is unknown; use 'both', 'queries', 'gallery'"),
        ({"n_bootstrap": -1}, "n_bootstrap=-1 must not be negative"),
        ({"confidence": 95}, "confidence=95 is not between 0 and 1; give 0.95 for 95 %"),
    ],
)
def test_bad_input_is_a_one_line_error(scores, groups, change, message):
    arguments = {"scores": scores, "groups": groups, "k": 20, **change}
    with pytest.raises(ValueError, match=message) as error:
        rank_fairness(arguments.pop("scores"), arguments.pop("groups"), **arguments)
    assert "\n" not in str(error.value)
