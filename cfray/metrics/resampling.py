"""Rankings of resampled and of randomly permuted galleries: what the intervals and the floors of fairness metrics rest on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cfray.metrics.bootstrap import percentile_bounds
from cfray.metrics.divergence import TopTerms, top_terms
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
        groups: (n,) group ids.
        k: 1..n.
        prefix: how many items to rank at first; twice as many are ranked whenever a resample needs more.
    """

    def __init__(self, scores: np.ndarray, groups: np.ndarray, k: int, prefix: int | None = None) -> None:
        self.scores, self.groups, self.k = scores, groups, k
        # m items are drawn m times on average with a standard deviation below sqrt(m), and 8 of those hardly ever happen.
        prefix = k + int(8 * np.sqrt(k)) + 32 if prefix is None else prefix
        self.order = rank_top_k(scores, k=min(prefix, len(groups)))

    def top(self, counts: np.ndarray | None = None) -> np.ndarray:
        """(Q, k) group ids of the best k when item j is in the gallery ``counts[j]`` times, (n,) summing to n; once if None."""
        if counts is None:
            return self.groups[self.order[:, : self.k]]
        copies = counts[self.order]
        end = np.cumsum(copies, axis=1)
        if (end[:, -1] < self.k).any():
            self.order = rank_top_k(self.scores, k=min(2 * self.order.shape[1], len(self.groups)))
            return self.top(counts)
        taken = np.clip(self.k - (end - copies), 0, copies)
        return np.repeat(self.groups[self.order].ravel(), taken.ravel()).reshape(len(self.order), self.k)


def rank_metrics(terms: TopTerms, target: np.ndarray, absent: str) -> np.ndarray:
    """(3, Q) MaxSkew, MinSkew and NDKL, in the order of ``METRICS``, for target shares (A,)."""
    skew = skew_from_counts(terms.counts, target, absent)
    return np.stack([np.nanmax(skew, axis=1), np.nanmin(skew, axis=1), terms.ndkl(target)])


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

    def floors(self, groups: np.ndarray, n_groups: int, k: int, shares: list[np.ndarray], absent: str) -> list[list]:
        """Per target the mean of each metric over random permutations of the gallery, None without permutations."""
        if not self.n_floor:
            return [[None] * len(METRICS) for _ in shares]
        rng = np.random.default_rng((self.seed, 0))
        # The first k of a permutation are k draws without replacement.
        tops = [groups[rng.choice(len(groups), size=k, replace=False)] for _ in range(self.n_floor)]
        terms = top_terms(np.stack(tops), n_groups)
        return [rank_metrics(terms, share, absent).mean(axis=1).tolist() for share in shares]

    def galleries(self, rankings: GalleryResampler, n_groups: int, targets: Sequence[Target], absent: str) -> np.ndarray:
        """(targets, 3, B, Q) metrics of every query over galleries drawn with replacement."""
        rng, groups = np.random.default_rng((self.seed, 1)), rankings.groups
        values = np.empty((len(targets), len(METRICS), self.n_bootstrap, len(rankings.order)))
        for b in range(self.n_bootstrap):
            counts = np.bincount(rng.integers(len(groups), size=len(groups)), minlength=len(groups))
            sizes = np.bincount(groups, weights=counts, minlength=n_groups)
            terms = top_terms(rankings.top(counts), n_groups)
            for t, target in enumerate(targets):
                values[t, :, b] = rank_metrics(terms, target_shares(target, sizes), absent)
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
