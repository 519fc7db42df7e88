"""MaxSkew, MinSkew and Bias@k: how far the group shares among the first k results are from their target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cfray.metrics.ranking import as_array, check_k

Target = str | Sequence[float] | np.ndarray
ABSENT_RULES = ("one", "laplace", "error")


def check_groups(groups: Any, n_groups: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Group ids of a gallery and the size of each group.

    Args:
        groups: (n,) integer ids 0..A-1.
        n_groups: A; the largest id + 1 when left out.

    Returns:
        (n,) ids in the smallest unsigned type that holds them, and (A,) members per group.

    Raises:
        ValueError: if the ids are not integers, negative or not below A, if there is one group only, or if a group of
            0..A-1 has no member.
    """
    groups = as_array(groups)
    if groups.ndim != 1 or not groups.size:
        raise ValueError(f"groups have shape {groups.shape}; give one group id per gallery item")
    if groups.dtype.kind not in "iub":
        raise ValueError(f"groups have dtype {groups.dtype}; give integer ids 0..A-1, as np.unique's return_inverse does")
    groups = groups.astype(np.int64)
    if groups.min() < 0:
        raise ValueError(f"group id {groups.min()} is negative; leave the {np.sum(groups < 0)} items without a group out")
    found = int(groups.max()) + 1
    n_groups = found if n_groups is None else n_groups
    if found > n_groups:
        raise ValueError(f"group id {found - 1} is not below n_groups={n_groups}; ids run from 0 to n_groups - 1")
    if n_groups < 2:
        raise ValueError(f"the gallery of {groups.size} has one group only; fairness needs at least 2")
    sizes = np.bincount(groups, minlength=n_groups)
    empty = np.flatnonzero(sizes == 0)
    if empty.size:
        raise ValueError(
            f"group {empty[0]} of 0..{n_groups - 1} has no member in the gallery of {groups.size}; renumber the groups"
        )
    # Small types let NumPy sort by radix.
    return groups.astype(np.min_scalar_type(n_groups)), sizes


def target_shares(target: Target, sizes: np.ndarray) -> np.ndarray:
    """The share each group should have among the results.

    Args:
        target: "uniform" (1/A each), "pool" (the shares in the gallery), or A shares.
        sizes: (A,) members per group in the gallery.

    Returns:
        (A,) shares.

    Raises:
        ValueError: if the name is unknown, or given shares are not A positive numbers that sum to 1.
    """
    n_groups = len(sizes)
    if isinstance(target, str):
        if target not in ("uniform", "pool"):
            raise ValueError(f"target={target!r} is unknown; use 'uniform', 'pool' or {n_groups} shares")
        return np.full(n_groups, 1 / n_groups) if target == "uniform" else sizes / sizes.sum()
    shares = as_array(target).astype(np.float64)
    if shares.shape != (n_groups,):
        raise ValueError(f"target has shape {shares.shape}, the gallery has {n_groups} groups; give one share per group")
    if not (shares > 0).all():
        raise ValueError(f"target={shares.tolist()} has a share that is not above 0; leave out groups that should not be shown")
    if abs(shares.sum() - 1) > 1e-6:
        raise ValueError(f"target={shares.tolist()} sums to {shares.sum():.6g}; shares must sum to 1")
    return shares


def check_absent(counts: np.ndarray, k: int, absent: str) -> None:
    """ValueError if the rule is unknown, or if it is "error" and a group of ``counts`` (Q, A) is absent from a top k."""
    if absent not in ABSENT_RULES:
        raise ValueError(f"absent={absent!r} is unknown; use {', '.join(map(repr, ABSENT_RULES))}")
    if absent == "error" and (counts == 0).any():
        query, group = np.argwhere(counts == 0)[0]
        place = f"the top {k} of query {query}" if len(counts) > 1 else f"the top {k}"
        raise ValueError(f"group {group} is absent from {place}; raise k or use absent='one'")


def skew_from_counts(counts: np.ndarray, target: np.ndarray, absent: str) -> np.ndarray:
    """Skew_a@k of every group from the members of the top k.

    Args:
        counts: (Q, A) members of each group among the top k.
        target: (A,) target shares.
        absent: "one", "laplace" or "error", see ``max_skew``; "error" expects that ``check_absent`` has passed.

    Returns:
        (Q, A) natural logarithms of share over target. NaN where the target is 0: the gallery has no such group.
    """
    k = counts.sum(axis=1, keepdims=True)
    shares = (counts + 1) / (k + counts.shape[1]) if absent == "laplace" else np.maximum(counts, 1) / k
    return np.log(shares) - np.log(np.where(target > 0, target, np.nan))


def top_of_ranking(ranked_groups: Any, k: Any, target: Target, n_groups: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The checked top k (k,) of one ranking and its target shares (A,)."""
    groups, sizes = check_groups(ranked_groups, n_groups)
    return groups[: check_k(k, len(groups))], target_shares(target, sizes)


def _skews(ranked_groups: Any, k: Any, target: Target, absent: str, n_groups: int | None) -> np.ndarray:
    top, shares = top_of_ranking(ranked_groups, k, target, n_groups)
    counts = np.bincount(top, minlength=len(shares))[None]
    check_absent(counts, len(top), absent)
    return skew_from_counts(counts, shares, absent)[0]


def max_skew(
    ranked_groups: Any, *, k: int, target: Target = "uniform", absent: str = "one", n_groups: int | None = None
) -> float:
    """MaxSkew@k: the skew of the group that is most over-represented among the first k results.

    Skew_a@k = ln(p_a / d_a), with p_a the share of group a among the first k results and d_a its target share;
    MaxSkew@k = max_a Skew_a@k.

    Args:
        ranked_groups: (n,) integer group ids 0..A-1 in rank order over the whole gallery.
        k: how many results are looked at, 1..n. It has no default: with k = n the value does not depend on the ranking.
        target: "uniform" (d_a = 1/A), "pool" (d_a = share in the gallery), or A shares that sum to 1.
        absent: what p_a is for a group without a member among the first k. "one": 1/k, as if it had one (Berg et al. 2022;
            VisoGender). "laplace": (members + 1) / (k + A) for every group. "error": ValueError.
        n_groups: A; the largest id + 1 when left out.

    Returns:
        Natural logarithm, at least 0 under "one"; 0 when every share is its target, ln(A) when one of A groups fills the top k
        (uniform). A blind ranker does not score 0: see the floors of ``rank_fairness``.

    Raises:
        ValueError: for k outside 1..n, ids that are no group ids, a group without a member in the gallery, one group only,
            target shares that do not fit, or an absent group under "error".

    References:
        Geyik, Ambler, Kenthapadi 2019, Fairness-Aware Ranking in Search & Recommendation Systems (arXiv 1905.01989).
    """
    return float(_skews(ranked_groups, k, target, absent, n_groups).max())


def min_skew(
    ranked_groups: Any, *, k: int, target: Target = "uniform", absent: str = "one", n_groups: int | None = None
) -> float:
    """MinSkew@k: the skew of the group that is most under-represented among the first k results.

    MinSkew@k = min_a ln(p_a / d_a). Arguments, errors and source as in ``max_skew``. By the bare formula an absent group
    gives minus infinity; ``absent`` says what it gives here.

    Returns:
        Natural logarithm; 0 when every share is its target, more negative the less is shown of a group.
    """
    return float(_skews(ranked_groups, k, target, absent, n_groups).min())


def bias_at_k(ranked_groups: Any, *, k: int, man: int, woman: int) -> float:
    """Bias@k = (n_man - n_woman) / (n_man + n_woman), counted among the first k results.

    Args:
        ranked_groups: (n,) integer group ids in rank order over the whole gallery.
        k: 1..n; VisoGender uses 5 and 10.
        man: id of the images of men.
        woman: id of the images of women.

    Returns:
        -1 (women only) to 1 (men only), 0 when there are as many of both.

    Raises:
        ValueError: for k outside 1..n, or if the first k hold neither.

    References:
        Hall et al. 2023, VisoGender (arXiv 2306.12424).
    """
    ranked_groups = as_array(ranked_groups)
    top = ranked_groups[: check_k(k, len(ranked_groups))]
    men, women = int(np.sum(top == man)), int(np.sum(top == woman))
    if not men + women:
        raise ValueError(f"the top {k} hold no image of group man={man} or woman={woman}; raise k or check the ids")
    return (men - women) / (men + women)
