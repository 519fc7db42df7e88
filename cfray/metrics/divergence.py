"""NDKL@k: how far the group shares are from their target at every depth of a ranking, the first results counting most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from cfray.metrics.skew import Target, check_absent, top_of_ranking


@dataclass(frozen=True, eq=False)
class Divergences:
    """What NDKL@k of Q rankings is made of, whatever the target.

    With n_a(i) the members of group a among the first i results, v_i = 1/log2(i+1) and Z = Σ v_i,

        Z NDKL = Σ_i (v_i/i) Σ_a n_a(i) ln n_a(i) - Σ_i v_i ln i - Σ_a ln d_a Σ_i (v_i/i) n_a(i).

    A result at position j adds to n_a(i) for all i >= j, so with T_j = Σ_{i>=j} v_i/i every double sum is one pass over the
    results: the r-th member of its group, at position j, adds T_j (r ln r - (r-1) ln(r-1)) to the first sum and -T_j ln d_a to
    the last. No array over (queries, positions, groups) is ever made.
    """

    counts: np.ndarray
    """(Q, A) members of each group among the top k."""
    _top: np.ndarray
    _entropy: np.ndarray

    def ndkl(self, target: np.ndarray) -> np.ndarray:
        """NDKL@k (Q,) for target shares (A,); a group with target 0 must have no member."""
        logs = np.log(np.where(target > 0, target, 1.0))
        if (logs == logs[0]).all():
            return self._entropy - logs[0]  # the weights T_j / Z sum to 1
        return self._entropy - np.take(logs, self._top, mode="clip") @ _tables(self._top.shape[1])[0]


@lru_cache(maxsize=8)
def _tables(k: int) -> tuple[np.ndarray, np.ndarray, float]:
    """T_j / Z for j = 1..k, r ln r - (r-1) ln(r-1) for r = 0..k (0 for 0), and Σ v_i ln i / Z."""
    i = np.arange(1, k + 1)
    v = 1 / np.log2(i + 1)
    v /= v.sum()
    tail = np.cumsum((v / i)[::-1])[::-1]
    steps = np.diff(i * np.log(i), prepend=[0.0, 0.0])
    return tail, steps, float(v @ np.log(i))


def divergences(top: np.ndarray, n_groups: int, ks: Sequence[int]) -> list[Divergences]:
    """Count the members of groups in Q rankings, for several k in one pass.

    Args:
        top: (Q, n) group ids 0..A-1, best result first; an unsigned 8-bit or 16-bit type is fastest.
        n_groups: A.
        ks: each in 1..n.
    """
    counts, member = _running_counts(top, n_groups, ks)
    found = []
    for k, members in zip(ks, counts, strict=True):
        tail, steps, offset = _tables(k)
        # Indices are in range; "clip" only spares NumPy the test.
        entropy = np.take(steps, member[:, :k], mode="clip") @ tail - offset
        found.append(Divergences(members, top[:, :k], entropy))
    return found


def _running_counts(top: np.ndarray, n_groups: int, ks: Sequence[int]) -> tuple[list[np.ndarray], np.ndarray]:
    """Members of groups (Q, A) among the first k for each k, and (Q, n) the how-manieth of its group each result is.

    One running sum counts several groups: each has a field of bits in a 64-bit number, wide enough for n.
    """
    bits = top.shape[1].bit_length()
    mask, fields = (1 << bits) - 1, 63 // bits
    counts = [np.empty((len(top), n_groups), np.int64) for _ in ks]
    member = np.zeros(top.shape, np.int64)
    for first in range(0, n_groups, fields):
        groups = np.arange(first, min(first + fields, n_groups))
        codes = np.zeros(n_groups, np.int64)
        codes[groups] = 1 << bits * (groups - first)
        running = np.take(codes, top, mode="clip").cumsum(axis=1)
        for k, members in zip(ks, counts, strict=True):
            members[:, groups] = (running[:, k - 1, None] >> bits * (groups - first)) & mask
        if n_groups <= fields:
            return counts, (running >> bits * top.astype(np.uint8)) & mask
        here = (top >= first) & (top < first + fields)
        member[here] = (running[here] >> bits * (top[here].astype(np.int64) - first)) & mask
    return counts, member


def ndkl(ranked_groups: Any, *, k: int, target: Target = "uniform", absent: str = "one", n_groups: int | None = None) -> float:
    """NDKL@k: normalised discounted Kullback-Leibler divergence of the group shares from their target.

    NDKL@k = (1/Z) Σ_{i=1..k} KL(p(i) ‖ d) / log2(i+1), Z = Σ_{i=1..k} 1/log2(i+1), with p(i) the group shares of the first
    i results, d the target shares, KL(p ‖ d) = Σ_a p_a ln(p_a / d_a) and 0 ln 0 = 0.

    Args:
        ranked_groups: (n,) integer group ids 0..A-1 in rank order over the whole gallery.
        k: depth of the ranking, 1..n.
        target: "uniform" (d_a = 1/A), "pool" (d_a = share in the gallery), or A shares that sum to 1.
        absent: as in ``max_skew``. "one" and "laplace" give the same value, because an absent group adds 0 to a divergence;
            "error" is a ValueError if a group has no member among the first k.
        n_groups: A; the largest id + 1 when left out.

    Returns:
        Above 0, at most max_a ln(1/d_a), which one group filling the top k reaches. Perfect balance is not 0 either: the first
        result alone is always one-sided. Round-robin lists of 2 and 7 groups have NDKL@10 of 0.162 and 0.800.

    Raises:
        ValueError: as ``max_skew``.

    References:
        Geyik, Ambler, Kenthapadi 2019, Fairness-Aware Ranking in Search & Recommendation Systems (arXiv 1905.01989).
    """
    top, shares = top_of_ranking(ranked_groups, k, target, n_groups)
    (found,) = divergences(top[None], len(shares), [len(top)])
    check_absent(found.counts, len(top), absent)
    return float(found.ndkl(shares)[0])
