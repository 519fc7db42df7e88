"""Which sets a worker draws at which step: whole sets, reshuffled each epoch by seed, the same after a restart."""

from __future__ import annotations

import numpy as np


class SetSampler:
    """Deals sets to workers step by step.

    The order is a permutation of all sets per epoch, seeded by (seed, epoch) and cut into batches over the epochs'
    ends, so that every worker takes the same number of steps and no set is split. Batch ``step`` depends on the
    arguments alone: a resumed run goes on at the exact set, and W workers together see what one worker would.

    Args:
        sets: number of sets in the data set.
        sets_per_batch: over all workers, divisible by ``workers``.
        rank, workers: of this worker.
        seed: of the order.
    """

    def __init__(self, sets: int, sets_per_batch: int, rank: int, workers: int, seed: int):
        if sets_per_batch % workers:
            raise ValueError(f"sets_per_batch={sets_per_batch} is not a multiple of workers={workers}; change one of them")
        if sets < sets_per_batch:
            raise ValueError(f"sets_per_batch={sets_per_batch} needs as many kept sets, the data set has {sets}; lower it")
        self._sets, self._batch, self._seed = sets, sets_per_batch, seed
        share = sets_per_batch // workers
        self._share = slice(rank * share, (rank + 1) * share)

    def batch(self, step: int) -> list[int]:
        """Indices of the sets this worker draws at ``step``."""
        return self.whole_batch(step)[self._share]

    def whole_batch(self, step: int) -> list[int]:
        """Indices of the sets that all workers together draw at ``step``, in rank order."""
        first = step * self._batch
        indices, orders = [], {}
        for position in range(first, first + self._batch):
            epoch, place = divmod(position, self._sets)
            if epoch not in orders:
                orders[epoch] = np.random.default_rng((self._seed, epoch)).permutation(self._sets)
            indices.append(int(orders[epoch][place]))
        return indices

    def generator(self, step: int, index: int) -> np.random.Generator:
        """The random numbers of one draw of set ``index``: they do not depend on which worker draws it."""
        return np.random.default_rng((self._seed, step, index))
