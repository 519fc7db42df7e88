from __future__ import annotations

import numpy as np
import pytest

from cfray.metrics import fairness_of_attributes, rank_fairness

METRICS = ("max_skew", "min_skew", "ndkl")


@pytest.mark.parametrize("n_groups", [2, 7, 12])
def test_attributes_and_ks_share_draws_and_equal_one_call_for_each(n_groups):
    rng = np.random.default_rng(n_groups)
    scores = rng.normal(size=(6, 200))
    attributes = {
        "many": (np.r_[np.arange(n_groups), rng.integers(n_groups, size=200 - n_groups)], [str(i) for i in range(n_groups)]),
        "two": (rng.integers(2, size=200), ["a", "b"]),
    }
    found = fairness_of_attributes(scores, attributes, ks=[90, 15], seed=3, n_bootstrap=30, n_floor=40)
    for attribute, (groups, names) in attributes.items():
        for result, (k, target) in zip(
            found[attribute], [(90, "uniform"), (90, "pool"), (15, "uniform"), (15, "pool")], strict=True
        ):
            alone = rank_fairness(scores, groups, k=k, target=target, n_groups=len(names), seed=3, n_bootstrap=30, n_floor=40)
            assert (result.k, result.target) == (k, target)
            # A larger k ranks more items at first; values and draws are the same.
            for metric in METRICS:
                np.testing.assert_allclose(getattr(result, metric), getattr(alone, metric), rtol=0, atol=1e-12)
                np.testing.assert_allclose(result.query_intervals[metric], alone.query_intervals[metric], rtol=0, atol=1e-12)
                assert vars(result.mean[metric]) == pytest.approx(vars(alone.mean[metric]))


def test_errors_name_the_attribute():
    scores = np.zeros((1, 4))
    good, lost = ([0, 1, 0, 1], ["a", "b"]), ([0, 1, 0, 1], ["a", "b", "c"])
    with pytest.raises(ValueError, match="race: group 'c' has no member in the gallery of 4"):
        fairness_of_attributes(scores, {"gender": good, "race": lost}, ks=[2])
    with pytest.raises(ValueError, match="race: groups have 3 entries, scores rank a gallery of 4"):
        fairness_of_attributes(scores, {"gender": good, "race": ([0, 1, 0], ["a", "b"])}, ks=[2])
    with pytest.raises(ValueError, match="k=5 is larger than the gallery of 4"):
        fairness_of_attributes(scores, {"gender": good}, ks=[2, 5])
