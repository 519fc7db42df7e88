from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfray.metrics import classifier_fairness


def test_two_groups_by_hand():
    #           group 0: 4 positive, 2 negative      group 1: 2 positive, 4 negative
    labels = [1, 1, 1, 1, 0, 0] + [1, 1, 0, 0, 0, 0]
    predictions = [1, 1, 1, 0, 1, 0] + [1, 0, 0, 0, 0, 1]
    groups = [0] * 6 + [1] * 6
    result = classifier_fairness(predictions, labels, groups)
    assert result.group_accuracy.tolist() == pytest.approx([4 / 6, 4 / 6])
    np.testing.assert_allclose(result.cell_accuracy, [[0.5, 0.75], [0.75, 0.5]])
    assert result.to_dict() == pytest.approx(
        {
            "accuracy": 8 / 12,
            "worst_group_accuracy": 4 / 6,
            "worst_cell_accuracy": 0.5,
            "accuracy_parity_gap": 0.0,
            "equal_opportunity_gap": 0.25,  # |3/4 - 1/2|
            "equalised_odds_gap": 0.25,  # mean of |3/4 - 1/2| and |1/2 - 1/4|
        }
    )
    assert json.dumps(result.to_dict())


@given(st.integers(0, 10_000), st.integers(2, 4))
def test_gaps_agree_with_the_definition(seed, n_groups):
    rng = np.random.default_rng(seed)
    cells = np.array([(y, g) for y in (0, 1) for g in range(n_groups)])
    labels, groups = np.r_[cells, cells[rng.integers(len(cells), size=60)]].T
    predictions = rng.integers(0, 2, size=len(labels))
    result = classifier_fairness(predictions, labels, groups)

    def gap(condition, event):
        rates = [event[condition & (groups == g)].mean() for g in range(n_groups)]
        return max(rates) - min(rates)

    opportunity, false_alarm = gap(labels == 1, predictions == 1), gap(labels == 0, predictions == 1)
    assert result.equal_opportunity_gap == pytest.approx(opportunity)
    assert result.equalised_odds_gap == pytest.approx((opportunity + false_alarm) / 2)
    assert result.accuracy_parity_gap == pytest.approx(gap(labels >= 0, predictions == labels))
    assert result.worst_cell_accuracy <= result.worst_group_accuracy <= result.accuracy


def test_many_classes_need_a_positive_class_for_the_odds():
    labels, groups = np.tile([0, 1, 2], 4), np.repeat([0, 1], 6)
    predictions = np.array([0, 1, 2, 0, 1, 0] + [0, 0, 2, 0, 1, 2])
    result = classifier_fairness(predictions, labels, groups)
    assert result.equal_opportunity_gap is None
    assert result.equalised_odds_gap is None
    assert result.worst_cell_accuracy == pytest.approx(0.5)
    assert classifier_fairness(predictions, labels, groups, positive=2).equal_opportunity_gap == pytest.approx(0.5)


def test_empty_cells_do_not_count_as_worst():
    result = classifier_fairness([0, 1, 2, 1], [0, 1, 2, 1], [0, 0, 1, 1])
    assert np.isnan(result.cell_accuracy).sum() == 2
    assert result.worst_cell_accuracy == 1


@pytest.mark.parametrize(
    ("predictions", "labels", "groups", "message"),
    [
        ([0, 1], [0, 1], [0, 1], "group 1 has no negative example of class 1"),
        ([0, 1, 0], [0, 1], [0, 1], r"predictions have shape \(3,\)"),
        ([0, 1], [0, -1], [0, 1], "labels hold class -1; classes run from 0"),
        ([0.2, 0.7], [0, 1], [0, 1], "predictions have shape .* dtype float64"),
        ([0, 1], [0, 1], [0, 0], "one group only"),
    ],
)
def test_bad_input(predictions, labels, groups, message):
    with pytest.raises(ValueError, match=message):
        classifier_fairness(predictions, labels, groups)
