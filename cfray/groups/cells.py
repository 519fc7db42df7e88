"""Cells of class and group: their weights, the draws from them, and how much each counts after an epoch."""

from __future__ import annotations

import numpy as np


def cell_ids(labels: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
    """(n,) the cell of each sample: class * n_groups + group."""
    return labels * n_groups + groups


def weak_cells(sizes: np.ndarray) -> np.ndarray:
    """(cells,) bool: the cells with samples, but fewer than an equal share of all.

    Args:
        sizes: (cells,) samples of each cell.
    """
    return (sizes > 0) & (sizes < sizes.sum() / max((sizes > 0).sum(), 1))


class CellSampler:
    """Draws samples cell by cell with weights that follow the losses (arXiv 2403.10624; the update of Sagawa et al. 2020).

    A draw takes a cell by its weight, then a sample of it uniformly. Weights begin equal over the cells that have samples; an
    empty cell stays at 0. In weak cells a share of the draws is augmented: it takes an extra of the cell where there is one.

    Args:
        cells: (n,) cell of each sample.
        n_cells: how many cells there are.
        extras: (m,) cell of each extra, -1 for one that no cell wants; extra i is drawn as n + i.
        augment_share: share of the draws from weak cells that are augmented; 0 never augments.
        step_size: of ``update``.
    """

    def __init__(
        self, cells: np.ndarray, n_cells: int, *, extras: np.ndarray | None = None, augment_share: float = 0.0,
        step_size: float = 0.05,
    ):  # fmt: skip
        extras = np.empty(0, np.int64) if extras is None else extras
        sizes = np.bincount(cells, minlength=n_cells)
        self._members = [np.flatnonzero(cells == cell) for cell in range(n_cells)]
        self._extras = [len(cells) + np.flatnonzero(extras == cell) for cell in range(n_cells)]
        self._weak, self._share, self._step = weak_cells(sizes), augment_share, step_size
        self.weights = (sizes > 0) / (sizes > 0).sum()

    def draw(self, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(size,) numbers of samples and extras, and (size,) bool where a draw is to be augmented."""
        cells = rng.choice(len(self.weights), size=size, p=self.weights)
        augmented = self._weak[cells] & (rng.random(size) < self._share)
        chosen = np.empty(size, np.int64)
        for cell in np.unique(cells):
            for flag in (False, True):
                here = (cells == cell) & (augmented == flag)
                pool = self._extras[cell] if flag and len(self._extras[cell]) else self._members[cell]
                chosen[here] = rng.choice(pool, size=int(here.sum()))
        return chosen, augmented

    def update(self, losses: np.ndarray) -> None:
        """Raise the weights of cells with a high loss: w_c <- w_c exp(step_size * loss_c), re-normalised.

        Args:
            losses: (cells,) mean losses, NaN where none is known, which leaves the cell's share as it is.
        """
        known = (self.weights > 0) & ~np.isnan(losses)
        share = self.weights[known].sum()
        raised = self.weights[known] * np.exp(self._step * (losses[known] - losses[known].max(initial=-np.inf)))
        self.weights[known] = share * raised / raised.sum()


class WeightedSampler:
    """Draws samples with fixed weights (n,), with replacement: plain training, and the second stage of JTT.

    JTT (Just Train Twice, Liu et al. 2021, arXiv 2107.09044) weighs up what a first short training gets wrong.
    """

    def __init__(self, weights: np.ndarray):
        self._weights = weights / weights.sum()

    def draw(self, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(size,) numbers of samples, and (size,) False: nothing is augmented."""
        return rng.choice(len(self._weights), size=size, p=self._weights), np.zeros(size, bool)


def mean_by(values: np.ndarray, cells: np.ndarray, n_cells: int) -> np.ndarray:
    """(n_cells,) mean of values (n,) in each cell, NaN for an empty one."""
    sizes = np.bincount(cells, minlength=n_cells)
    sums = np.bincount(cells, weights=values, minlength=n_cells)
    return np.divide(sums, sizes, out=np.full(n_cells, np.nan), where=sizes > 0)
