"""The queue of original features that biases and similarities are measured against, and its tiled softmax."""

from __future__ import annotations

from collections import deque

import torch


class _LogSumExp(torch.autograd.Function):
    """log sum_j n_j exp(x . k_j / tau) and its softmax mean of keys, one tile of keys at a time."""

    @staticmethod
    def forward(ctx, queries, keys, log_counts, temperature, tile):
        top = torch.full((len(queries),), float("-inf"), device=queries.device)
        total = torch.zeros(len(queries), device=queries.device)
        mean = torch.zeros(queries.shape[0], keys.shape[1], device=queries.device)
        scaled = (queries / temperature).to(keys.dtype)
        for start in range(0, len(keys), tile):
            part = keys[start : start + tile]
            scores = (scaled @ part.T).float() + log_counts[start : start + tile]
            higher = torch.maximum(top, scores.amax(dim=1))
            shrink = torch.exp(top - higher)
            weights = scores.sub_(higher[:, None]).exp_()
            total.mul_(shrink).add_(weights.sum(dim=1))
            mean.mul_(shrink[:, None]).add_((weights.to(keys.dtype) @ part).float())
            top = higher
        mean /= total[:, None]
        ctx.save_for_backward(mean)
        ctx.temperature = temperature
        ctx.mark_non_differentiable(mean)
        return top + total.log(), mean

    @staticmethod
    def backward(ctx, gradient, _):
        (mean,) = ctx.saved_tensors
        return gradient[:, None] * mean / ctx.temperature, None, None, None, None


def softmax_over_keys(
    queries: torch.Tensor, keys: torch.Tensor, log_counts: torch.Tensor, *, temperature: float, tile: int = 4096
) -> tuple[torch.Tensor, torch.Tensor]:
    """The normaliser and the mean of P(j) = n_j exp(x . k_j / tau) / Z without an array over (queries, keys).

    A cross-entropy to a target T needs no more than this: -sum_j T_j log P_j = log Z - x . (sum_j T_j k_j) / tau, since
    the scores are linear in the keys. The gradient of log Z is the mean itself, so nothing is computed twice.

    Args:
        queries: (q, d) float32; the gradient flows into these.
        keys: (n, d); their dtype is that of the products, bfloat16 included. Sums are kept in float32.
        log_counts: (n,) logarithms of how often each key is there.
        temperature: tau.
        tile: keys per product; memory is (q, tile).

    Returns:
        log Z (q,), differentiable, and the mean key sum_j P_j k_j (q, d), a constant.
    """
    return _LogSumExp.apply(queries, keys, log_counts, temperature, tile)


class PairQueue:
    """The last ``capacity`` pairs that were drawn, as numbers of rows of the frozen training set.

    The features in the queue are those of the frozen model, so a pair that was drawn twice is one key with a count of
    two: with a training set smaller than the queue the product shrinks to the size of the set, exactly.

    Args:
        capacity: pairs kept beside the batch; 0 leaves the batch alone.
        pairs: rows of the training set.
    """

    def __init__(self, capacity: int, pairs: int):
        if capacity < 0:
            raise ValueError(f"queue={capacity} is negative; give 0 or more")
        self._capacity, self._batches, self._size = capacity, deque(), 0
        self._counts = torch.zeros(pairs)

    def with_batch(self, rows: torch.Tensor) -> torch.Tensor:
        """How often each pair is in the queue or in the batch ``rows``, (pairs,)."""
        return self._counts + torch.bincount(rows, minlength=len(self._counts))

    def push(self, rows: torch.Tensor) -> None:
        """Add a batch and drop the oldest pairs beyond the capacity."""
        rows = rows[max(0, len(rows) - self._capacity) :]
        self._batches.append(rows)
        self._size += len(rows)
        self._counts += torch.bincount(rows, minlength=len(self._counts))
        while self._size > self._capacity:
            oldest = self._batches.popleft()
            dropped, kept = oldest[: self._size - self._capacity], oldest[self._size - self._capacity :]
            if len(kept):
                self._batches.appendleft(kept)
            self._size -= len(dropped)
            self._counts -= torch.bincount(dropped, minlength=len(self._counts))
