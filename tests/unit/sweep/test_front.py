import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfray.sweep.front import choose, hypervolume, knee_point, pareto_front


def test_front_holds_what_nothing_beats():
    points = np.array([[1, 5], [2, 3], [3, 3], [4, 1], [5, 5], [2, 3], [np.nan, 0]])
    assert pareto_front(points).tolist() == [True, True, False, True, False, True, False]


def test_hypervolume_of_a_staircase():
    points = np.array([[1.0, 3.0], [2.0, 1.0], [3.0, 0.5], [9.0, 0.0]])
    # Below (4, 4): 3 x 1 from the first, 2 x 2 more from the second, 1 x 0.5 more from the third.
    assert hypervolume(points, np.array([4.0, 4.0])) == pytest.approx(3 + 4 + 0.5)


def test_hypervolume_of_nothing_is_zero():
    assert hypervolume(np.array([[5.0, 5.0]]), np.array([4.0, 4.0])) == 0
    with pytest.raises(ValueError, match="2 or 3 objectives"):
        hypervolume(np.zeros((1, 4)), np.ones(4))


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 3), st.integers(1, 8), st.integers(0, 10_000))
def test_hypervolume_counts_dominated_cells(dimensions, count, seed):
    points = np.random.default_rng(seed).integers(0, 6, (count, dimensions))
    cells = np.stack(np.meshgrid(*[np.arange(6)] * dimensions), axis=-1).reshape(-1, dimensions)
    dominated = (cells[:, None] >= points[None]).all(axis=-1).any(axis=1).sum()
    assert hypervolume(points, np.full(dimensions, 6)) == pytest.approx(dominated)


def test_knee_is_where_the_front_bends():
    points = np.array([[0, 10], [1, 2], [2, 1.5], [9, 0], [9, 10]])
    assert knee_point(points) == 1
    assert knee_point(points * [1, 1000]) == 1
    assert knee_point(np.array([[3.0, 3.0]])) == 0
    with pytest.raises(ValueError, match="no knee"):
        knee_point(np.array([[np.nan, 0.0]]))


def test_choice_takes_the_least_skew_that_the_constraint_allows():
    skew, lost = np.array([0.5, 0.3, 0.1, 0.3]), np.array([0.0, 0.004, 0.02, 0.001])
    assert choose(skew, lost, 0.005) == 3
    assert choose(skew, lost, 0.0) == 0
    assert choose(skew, lost, 0.1 + 0.2 - 0.28) == 2  # 0.02 in decimal, a little more in floating point
    assert choose(skew, lost + 1, 0.5) is None
