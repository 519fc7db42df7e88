from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfray.metrics import group_agreement


def test_renumbered_groups_agree_fully():
    true = np.array([0, 0, 1, 2, 2, 2])
    result = group_agreement(np.array([5, 5, 0, 3, 3, 3]), true)
    assert result.to_dict() == pytest.approx(
        {"accuracy": 1.0, "adjusted_rand": 1.0, "normalised_mutual_information": 1.0, "minority_recall": 1.0}
    )
    assert result.matching == {0: 1, 3: 2, 5: 0}


def test_by_hand():
    #       table: inferred 0 has 5 of group 0 and 1 of group 1; inferred 1 has 1 and 2
    true = np.array([0] * 6 + [1] * 3)
    inferred = np.array([0] * 5 + [1] + [0, 1, 1])
    result = group_agreement(inferred, true)
    assert result.accuracy == pytest.approx(7 / 9)
    assert result.minority_recall == pytest.approx(2 / 3)


def test_one_inferred_group_tells_nothing():
    result = group_agreement(np.zeros(10, dtype=int), np.array([0] * 7 + [1] * 3))
    assert result.to_dict() == pytest.approx(
        {"accuracy": 0.7, "adjusted_rand": 0.0, "normalised_mutual_information": 0.0, "minority_recall": 0.0}
    )


def test_more_inferred_than_true_groups_leave_some_unmatched():
    result = group_agreement(np.array([0, 0, 1, 2, 2]), np.array([0, 0, 0, 1, 1]))
    assert result.accuracy == pytest.approx(0.8)
    assert result.matching == {0: 0, 2: 1}


@given(st.integers(0, 10_000))
def test_matching_is_the_best_and_numbering_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    true = np.r_[0, 1, 2, rng.integers(3, size=30)]
    inferred = np.r_[0, 1, 2, rng.integers(3, size=30)]
    best = max(np.mean(np.array(names)[inferred] == true) for names in permutations(range(3)))
    result = group_agreement(inferred, true)
    assert result.accuracy == pytest.approx(best)
    renamed = group_agreement(np.array([4, 9, 2])[inferred], true)
    assert renamed.accuracy == pytest.approx(best)
    assert renamed.adjusted_rand == pytest.approx(result.adjusted_rand)


def test_adjusted_rand_of_a_textbook_table():
    # Hubert and Arabie: pairs of a 2 x 2 table (4, 1 / 1, 4) give index 12, expectation 2 * 20 * 20 / 90.
    true = np.repeat([0, 1], 5)
    inferred = np.array([0, 0, 0, 0, 1, 0, 1, 1, 1, 1])
    expected = 20 * 20 / 45
    assert group_agreement(inferred, true).adjusted_rand == pytest.approx((12 - expected) / (20 - expected))


@pytest.mark.parametrize(
    ("inferred", "true", "message"),
    [
        ([0, 1, 0], [0, 1], "inferred has shape"),
        ([0, -1], [0, 1], "give an id from 0 up for each item of 2"),
        ([0, 1], [0, 0], "one group only"),
    ],
)
def test_bad_input(inferred, true, message):
    with pytest.raises(ValueError, match=message):
        group_agreement(inferred, true)
