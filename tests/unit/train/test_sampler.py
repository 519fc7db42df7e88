import numpy as np
import pytest

from cfray.train.sampler import SetSampler


def test_workers_together_see_what_one_worker_sees():
    one = SetSampler(50, 12, 0, 1, seed=3)
    for workers in (2, 3, 4):
        several = [SetSampler(50, 12, rank, workers, seed=3) for rank in range(workers)]
        for step in range(9):
            assert [i for sampler in several for i in sampler.batch(step)] == one.batch(step)


def test_every_set_once_an_epoch():
    sampler = SetSampler(30, 10, 0, 1, seed=0)
    for epoch in range(3):
        drawn = [i for step in range(3) for i in sampler.batch(3 * epoch + step)]
        assert sorted(drawn) == list(range(30))


def test_epochs_differ_and_seeds_differ():
    first, second = SetSampler(30, 30, 0, 1, seed=0), SetSampler(30, 30, 0, 1, seed=1)
    assert first.batch(0) != first.batch(1)
    assert first.batch(0) != second.batch(0)


def test_a_batch_over_the_end_of_an_epoch_takes_no_set_of_the_old_epoch_twice():
    sampler = SetSampler(7, 4, 0, 1, seed=0)
    drawn = [i for step in range(7) for i in sampler.batch(step)]
    assert all(sorted(drawn[7 * epoch : 7 * epoch + 7]) == list(range(7)) for epoch in range(4))


def test_a_later_step_needs_no_earlier_one():
    walked = SetSampler(23, 8, 0, 1, seed=5)
    for step in range(20):
        last = walked.batch(step)
    assert SetSampler(23, 8, 0, 1, seed=5).batch(19) == last


def test_draws_do_not_depend_on_the_worker():
    left, right = SetSampler(20, 4, 0, 2, seed=1), SetSampler(20, 4, 1, 2, seed=1)
    assert np.array_equal(left.generator(3, 7).random(4), right.generator(3, 7).random(4))


def test_errors_name_the_numbers():
    with pytest.raises(ValueError, match="sets_per_batch=10 is not a multiple of workers=3"):
        SetSampler(50, 10, 0, 3, seed=0)
    with pytest.raises(ValueError, match="the data set has 8"):
        SetSampler(8, 10, 0, 1, seed=0)
