"""Rankings of resampled and of randomly permuted galleries: what the intervals and the floors of fairness metrics rest on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cfray.metrics.bootstrap import percentile_bounds
from cfray.metrics.divergence import Divergences, divergences
from cfray.metrics.ranking import rank_top_k
from cfray.metrics.skew import Target, skew_from_counts, target_shares

METRICS = ("max_skew", "min_skew", "ndkl")
RESAMPLED = ("both", "queries", "gallery")


class GalleryResampler:
    """Top k of Q rankings over galleries drawn with replacement, without ranking anything twice.

    Drawing item j c_j times turns a ranking into the same ranking with item j repeated c_j times. The best k of a resample are
    therefore a prefix of it, and only a few more than the k best items have to be ranked.

    Args:
        scores: (Q, n) checked scores.
        k: 1..n.
        prefix: how many items to rank at first; twice as many are ranked whenever a resample needs more.
    """

    def __init__(self, scores: np.ndarray, k: int, prefix: int | None = None) -> None:
        self.scores, self.k = scores, k
        # m items are drawn m times on average with a standard deviation below sqrt(m), and 8 of those hardly ever happen.
        prefix = k + int(8 * np.sqrt(k)) + 32 if prefix is None else prefix
        self.order = rank_top_k(scores, k=min(prefix, scores.shape[1]))

    def top(self, counts: np.ndarray | None = None) -> np.ndarray:
        """(Q, k) the best k items when item j is in the gallery ``counts[j]`` times, (n,) summing to n; once if None."""
        if counts is None:
            return self.order[:, : self.k]
        end = np.take(counts.astype(np.int32), self.order, mode="clip").cumsum(axis=1, dtype=np.int32)
        if (end[:, -1] < self.k).any():
            self.order = rank_top_k(self.scores, k=min(2 * self.order.shape[1], self.scores.shape[1]))
            return self.top(counts)
        taken = np.diff(np.minimum(end, self.k), axis=1, prepend=0)
        return np.repeat(self.order.ravel(), taken.ravel()).reshape(len(self.order), self.k)


@dataclass(frozen=True, eq=False)
class Partition:
    """The groups of one attribute of a gallery, with the target shares that they are held to."""

    groups: np.ndarray
    """(n,) group ids 0..A-1 in a small unsigned type."""
    n_groups: int
    targets: Sequence[Target]

    def metrics(self, items: np.ndarray, ks: Sequence[int], sizes: np.ndarray, absent: str) -> np.ndarray:
        """(ks, targets, 3, Q) metrics of rankings of items (Q, max k) of a gallery with ``sizes`` (A,) members per group."""
        found = divergences(np.take(self.groups, items, mode="clip"), self.n_groups, ks)
        shares = [target_shares(target, sizes) for target in self.targets]
        return np.stack([[rank_metrics(at_k, share, absent) for share in shares] for at_k in found])


def rank_metrics(found: Divergences, target: np.ndarray, absent: str) -> np.ndarray:
    """(3, Q) MaxSkew, MinSkew and NDKL, in the order of ``METRICS``, for target shares (A,)."""
    skew = skew_from_counts(found.counts, target, absent)
    # fmax and fmin pass over the NaN of groups that a resampled gallery lost.
    return np.stack([np.fmax.reduce(skew, axis=1), np.fmin.reduce(skew, axis=1), found.ndkl(target)])


@dataclass(frozen=True)
class Draws:
    """How random galleries and resamples are drawn; the arguments of ``rank_fairness`` of the same names."""

    n_floor: int
    n_bootstrap: int
    confidence: float
    resample: str
    seed: int

    def __post_init__(self) -> None:
        if self.resample not in RESAMPLED:
            raise ValueError(f"resample={self.resample!r} is unknown; use {', '.join(map(repr, RESAMPLED))}")
        if min(self.n_floor, self.n_bootstrap) < 0:
            raise ValueError(f"n_floor={self.n_floor} and n_bootstrap={self.n_bootstrap} must not be negative; 0 means none")

    def floors(self, partitions: Sequence[Partition], ks: Sequence[int], absent: str) -> list[np.ndarray]:
        """Per partition (ks, targets, 3) the mean of each metric over random permutations; NaN without permutations."""
        values = [np.full((len(ks), len(part.targets), len(METRICS)), np.nan) for part in partitions]
        if not self.n_floor:
            return values
        n = len(partitions[0].groups)
        for i, k in enumerate(ks):
            rng = np.random.default_rng((self.seed, 0))
            # The first k of a permutation are k draws without replacement.
            items = np.stack([rng.choice(n, size=k, replace=False) for _ in range(self.n_floor)])
            for part, floors in zip(partitions, values, strict=True):
                sizes = np.bincount(part.groups, minlength=part.n_groups)
                floors[i] = part.metrics(items, [k], sizes, absent)[0].mean(axis=-1)
        return values

    def galleries(
        self, rankings: GalleryResampler, partitions: Sequence[Partition], ks: Sequence[int], absent: str
    ) -> list[np.ndarray]:
        """Per partition (ks, targets, 3, B, Q) metrics of every query over galleries drawn with replacement."""
        rng, (n_queries, n) = np.random.default_rng((self.seed, 1)), rankings.scores.shape
        values = [np.empty((len(ks), len(part.targets), len(METRICS), self.n_bootstrap, n_queries)) for part in partitions]
        for b in range(self.n_bootstrap):
            counts = np.bincount(rng.integers(n, size=n), minlength=n)
            items = rankings.top(counts)
            for part, found in zip(partitions, values, strict=True):
                sizes = np.bincount(part.groups, weights=counts, minlength=part.n_groups)
                found[..., b, :] = part.metrics(items, ks, sizes, absent)
        return values

    def queries(self, n_queries: int) -> np.ndarray:
        """(B, Q) the queries that each resample takes the mean over."""
        if self.resample == "gallery":
            return np.broadcast_to(np.arange(n_queries), (self.n_bootstrap, n_queries))
        return np.random.default_rng((self.seed, 2)).integers(n_queries, size=(self.n_bootstrap, n_queries))


def recentred_bounds(resamples: np.ndarray, value: np.ndarray | float, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bounds of resamples (B, ...), moved so that the mean of the resamples lies on the measured value (...).

    A resampled gallery holds images twice, so its top k is less mixed than that of a real gallery of the same size, and the
    skew and divergence of resamples are too large: plain percentile intervals often leave out the value they belong to.
    """
    low, high = percentile_bounds(resamples, confidence)
    shift = value - resamples.mean(axis=0)
    return low + shift, high + shift
