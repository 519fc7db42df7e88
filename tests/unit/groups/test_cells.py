import numpy as np
import pytest

from cfray.groups.cells import CellSampler, WeightedSampler, cell_ids, mean_by, weak_cells


def test_cells_are_numbered_class_by_class():
    np.testing.assert_array_equal(cell_ids(np.array([0, 0, 2]), np.array([0, 1, 1]), 2), [0, 1, 5])


def test_weak_cells_have_less_than_an_equal_share():
    np.testing.assert_array_equal(weak_cells(np.array([90, 10, 0, 50])), [False, True, False, False])


def test_cells_are_drawn_equally_often_however_small_they_are():
    cells = np.repeat([0, 1, 3], [90, 9, 1])
    chosen, augmented = CellSampler(cells, 4).draw(6000, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(cells[chosen], minlength=4) / 6000, [1 / 3, 1 / 3, 0, 1 / 3], atol=0.03)
    assert not augmented.any()


def test_extras_are_drawn_in_weak_cells_only_and_of_the_same_cell():
    cells = np.repeat([0, 1], [90, 10])
    extras = np.array([0, 1, 1, -1])
    sampler = CellSampler(cells, 2, extras=extras, augment_share=0.5)
    chosen, augmented = sampler.draw(4000, np.random.default_rng(0))
    assert set(chosen[chosen >= 100]) == {101, 102}
    assert augmented[chosen >= 100].all()
    assert np.mean(chosen >= 100) == pytest.approx(0.25, abs=0.03)


def test_a_weak_cell_without_extras_draws_its_own_samples_to_be_augmented():
    cells = np.repeat([0, 1], [90, 10])
    chosen, augmented = CellSampler(cells, 2, augment_share=1.0).draw(1000, np.random.default_rng(0))
    np.testing.assert_array_equal(augmented, cells[chosen] == 1)


def test_weights_follow_the_losses():
    sampler = CellSampler(np.array([0, 1, 3]), 4, step_size=np.log(2))
    sampler.update(np.array([1.0, 0.0, np.nan, 0.0]))
    np.testing.assert_allclose(sampler.weights, [0.5, 0.25, 0, 0.25])
    sampler.update(np.array([np.nan, 0.0, np.nan, 1.0]))
    np.testing.assert_allclose(sampler.weights, [0.5, 0.5 / 3, 0, 1 / 3])
    sampler.update(np.array([1000.0, 0.0, 0.0, 1000.0]))
    assert sampler.weights.sum() == pytest.approx(1)


def test_errors_are_drawn_more_often():
    chosen, _ = WeightedSampler(np.array([1.0, 1.0, 3.0])).draw(5000, np.random.default_rng(0))
    assert np.mean(chosen == 2) == pytest.approx(0.6, abs=0.03)


def test_means_by_cell_are_nan_where_nothing_is():
    np.testing.assert_allclose(mean_by(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 2]), 3), [2, np.nan, 5])
