import pytest
import torch

from cfray.debias.queue import PairQueue, softmax_over_keys


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(5, 8, generator=generator, dtype=torch.float32)
    keys = torch.randn(37, 8, generator=generator)
    counts = torch.randint(1, 4, (37,), generator=generator)
    return queries, keys, counts


def dense(queries, keys, counts, temperature):
    scores = (queries.double() / temperature) @ keys.double().T + counts.double().log()
    return scores.logsumexp(dim=1), scores.softmax(dim=1) @ keys.double()


@pytest.mark.parametrize("tile", [1, 7, 37, 1000])
def test_is_the_dense_softmax_whatever_the_tile(problem, tile):
    queries, keys, counts = problem
    normaliser, mean = softmax_over_keys(queries, keys, counts.log(), temperature=0.07, tile=tile)
    expected, expected_mean = dense(queries, keys, counts, 0.07)
    torch.testing.assert_close(normaliser.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(mean.double(), expected_mean, rtol=1e-4, atol=1e-5)


def test_gradient_is_that_of_the_dense_softmax(problem):
    queries, keys, counts = problem
    tiled, plain = queries.clone().requires_grad_(), queries.clone().requires_grad_()
    weights = torch.arange(1.0, 6.0)
    (softmax_over_keys(tiled, keys, counts.log(), temperature=0.5, tile=4)[0] * weights).sum().backward()
    (dense(plain, keys, counts, 0.5)[0] * weights).sum().backward()
    torch.testing.assert_close(tiled.grad, plain.grad, rtol=1e-4, atol=1e-5)


def test_large_scores_do_not_overflow():
    keys = torch.tensor([[100.0], [-100.0]])
    normaliser, mean = softmax_over_keys(torch.tensor([[1.0]]), keys, torch.zeros(2), temperature=0.07, tile=1)
    assert normaliser.item() == pytest.approx(100 / 0.07)
    assert mean.item() == pytest.approx(100)


def test_bfloat16_products_stay_close(problem):
    queries, keys, counts = problem
    normaliser, _ = softmax_over_keys(queries, keys.bfloat16(), counts.log(), temperature=0.5)
    torch.testing.assert_close(normaliser, dense(queries, keys, counts, 0.5)[0].float(), rtol=0.02, atol=0.05)


@pytest.mark.parametrize("capacity", [0, 3, 7, 100])
def test_queue_holds_the_last_pairs(capacity):
    generator = torch.Generator().manual_seed(1)
    queue, history = PairQueue(capacity, 10), []
    for size in (4, 2, 5, 4, 9):
        rows = torch.randint(10, (size,), generator=generator)
        kept = history[len(history) - capacity :] if capacity < len(history) else history
        expected = torch.bincount(torch.tensor(kept + rows.tolist(), dtype=torch.int64), minlength=10)
        assert torch.equal(queue.with_batch(rows), expected.float())
        queue.push(rows)
        history += rows.tolist()


def test_negative_capacity_is_refused():
    with pytest.raises(ValueError, match="queue=-1"):
        PairQueue(-1, 10)
