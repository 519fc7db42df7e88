"""MaxSkew, MinSkew and NDKL of many queries over one gallery, with random floors, bootstrap intervals and absent groups."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cfray.metrics.bootstrap import Interval
from cfray.metrics.divergence import top_terms
from cfray.metrics.ranking import as_array, check_k, check_scores
from cfray.metrics.resampling import METRICS, Draws, GalleryResampler, rank_metrics, recentred_bounds
from cfray.metrics.skew import Target, check_absent, check_groups, skew_from_counts, target_shares


@dataclass(frozen=True)
class Estimate(Interval):
    """A mean over queries, its interval, and the value that a blind ranker gets on the same gallery."""

    floor: float | None


@dataclass(frozen=True, eq=False)
class RankFairness:
    """Fairness of Q rankings of one gallery with A groups. All logarithms are natural."""

    k: int
    target: str
    """"uniform", "pool" or "given"."""
    group_sizes: np.ndarray
    """(A,) members in the gallery."""
    target_shares: np.ndarray
    """(A,)"""
    top_shares: np.ndarray
    """(Q, A) shares of the groups among the top k, as they are (0 where absent)."""
    skew: np.ndarray
    """(Q, A) ln(share / target), absent groups by the rule asked for."""
    max_skew: np.ndarray
    """(Q,)"""
    min_skew: np.ndarray
    """(Q,)"""
    ndkl: np.ndarray
    """(Q,)"""
    absent_groups: np.ndarray
    """(Q,) how many groups have no member among the top k."""
    query_intervals: dict[str, np.ndarray]
    """Per metric (Q, 2): low and high of each query over the resampled gallery. Empty without resamples."""
    mean: dict[str, Estimate]
    """Per metric: the mean over queries with interval and random floor."""
    resampled_means: dict[str, np.ndarray]
    """Per metric (B,): the mean over queries in each resample; what ``paired_difference`` subtracts."""
    draws: tuple
    """What was drawn from what; two results with equal draws are paired."""

    def to_dict(self) -> dict[str, dict[str, float | None]]:
        """``{"maxskew@K": {"value", "low", "high", "floor"}, "minskew@K": ..., "ndkl@K": ...}``, ready for JSON."""
        return {f"{metric.replace('_', '')}@{self.k}": asdict(self.mean[metric]) for metric in METRICS}


def _measure(
    scores: Any, groups: Any, targets: Sequence[Target], draws: Draws, *, k: int, absent: str, n_groups: int | None
) -> list[RankFairness]:
    """``rank_fairness`` for several targets, which share the ranking and every draw."""
    scores = check_scores(scores)
    groups, sizes = check_groups(groups, n_groups)
    if len(groups) != scores.shape[1]:
        raise ValueError(f"groups have {len(groups)} entries, scores rank a gallery of {scores.shape[1]}; give one per image")
    k, n_groups = check_k(k, len(groups)), len(sizes)
    shares = [target_shares(target, sizes) for target in targets]
    rankings = GalleryResampler(scores, groups, k)
    terms = top_terms(rankings.top(), n_groups)
    check_absent(terms.counts, k, absent)
    # An absent group in a random draw is no fault of the ranking, so "error" is for the measured ranking only.
    drawn_rule = "one" if absent == "error" else absent
    floors = draws.floors(groups, n_groups, k, shares, drawn_rule)
    values = np.stack([rank_metrics(terms, share, absent) for share in shares])
    if draws.resample == "queries":
        galleries = np.broadcast_to(values[:, :, None], (*values.shape[:2], draws.n_bootstrap, len(scores)))
    else:
        galleries = draws.galleries(rankings, n_groups, targets, drawn_rule)
    queries = draws.queries(len(scores))
    results = []
    for t, (target, share) in enumerate(zip(targets, shares, strict=True)):
        intervals, mean, resampled_means = {}, {}, {}
        for m, metric in enumerate(METRICS):
            low = high = None
            value = float(values[t, m].mean())
            if draws.n_bootstrap:
                intervals[metric] = np.stack(recentred_bounds(galleries[t, m], values[t, m], draws.confidence), axis=1)
                resampled_means[metric] = np.take_along_axis(galleries[t, m], queries, axis=1).mean(axis=1)
                low, high = map(float, recentred_bounds(resampled_means[metric], value, draws.confidence))
            mean[metric] = Estimate(value, low, high, floors[t][m])
        results.append(
            RankFairness(
                k=k,
                target=target if isinstance(target, str) else "given",
                group_sizes=sizes,
                target_shares=share,
                top_shares=terms.counts / k,
                skew=skew_from_counts(terms.counts, share, absent),
                max_skew=values[t, 0],
                min_skew=values[t, 1],
                ndkl=values[t, 2],
                absent_groups=(terms.counts == 0).sum(axis=1),
                query_intervals=intervals,
                mean=mean,
                resampled_means=resampled_means,
                draws=(draws, len(scores), zlib.crc32(groups), k, absent, *share.tolist()),
            )
        )
    return results


def rank_fairness(
    scores: Any,
    groups: Any,
    *,
    k: int,
    target: Target = "uniform",
    absent: str = "one",
    n_groups: int | None = None,
    n_floor: int = 1000,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    resample: str = "both",
    seed: int = 0,
) -> RankFairness:
    """MaxSkew@k, MinSkew@k and NDKL@k of every query over one gallery; formulas in ``max_skew`` and ``ndkl``.

    Args:
        scores: (Q, n) score of every query and gallery item, see ``similarity``; a higher score ranks first, ties by index.
        groups: (n,) integer group ids 0..A-1 of the gallery.
        k: how many results are looked at, 1..n; no default, because k = n does not depend on the ranking.
        target: "uniform", "pool" or A shares.
        absent: what the share of a group absent from a top k is: "one" (1/k), "laplace" or "error". "error" is about the
            measured rankings; floors and resamples then count absent groups by "one".
        n_groups: A; the largest id + 1 when left out.
        n_floor: random permutations of the gallery behind the floor; 0 for no floor.
        n_bootstrap: resamples behind the intervals; 0 for none.
        confidence: of the intervals.
        resample: what is drawn with replacement: "both" queries and gallery (Owen 2007, the pigeonhole bootstrap), or "queries"
            or "gallery" alone where the other is all there is, such as a fixed list of professions.
        seed: of permutations and resamples. Equal seeds draw alike for every model: floors are equal, differences paired.

    Returns:
        ``RankFairness``: values per query with intervals over the gallery, absent groups, and means over queries with interval
        and floor. A "pool" target is taken anew from every resampled gallery. Intervals are percentile intervals moved so
        that the mean of the resamples lies on the measured value, see ``recentred_bounds`` for why.

    Raises:
        ValueError: for scores without a query or with NaN, k outside 1..n, groups that do not fit the scores, a group without
            a member, one group only, target shares that do not fit, or an absent group under "error".

    References:
        Geyik, Ambler, Kenthapadi 2019 (arXiv 1905.01989); Owen 2007, The pigeonhole bootstrap (arXiv 0712.1111).
    """
    draws = Draws(n_floor, n_bootstrap, confidence, resample, seed)
    return _measure(scores, groups, [target], draws, k=k, absent=absent, n_groups=n_groups)[0]


def fairness_of_targets(
    scores: Any, groups: Any, *, k: int, group_names: Sequence[str], seed: int = 0, n_bootstrap: int = 1000, n_floor: int = 1000
) -> list[RankFairness]:
    """``rank_fairness`` for the targets "uniform" and "pool", in this order, which share the ranking and every draw.

    Args:
        scores: (Q, n).
        groups: (n,) ids into ``group_names``.
        k, seed, n_bootstrap, n_floor: as in ``rank_fairness``; absent groups count as 1/k.
        group_names: A names.

    Raises:
        ValueError: as ``rank_fairness``.
    """
    ids = as_array(groups)
    empty = [name for group, name in enumerate(group_names) if ids.dtype.kind in "iub" and not (ids == group).any()]
    if empty:
        raise ValueError(f"group {empty[0]!r} has no member in the gallery of {len(ids)}; leave its name out")
    draws = Draws(n_floor, n_bootstrap, confidence=0.95, resample="both", seed=seed)
    return _measure(scores, groups, ["uniform", "pool"], draws, k=k, absent="one", n_groups=len(group_names))


def summarise(both: Sequence[RankFairness], group_names: Sequence[str]) -> dict[str, Any]:
    """What ``fairness_of_targets`` found as a dictionary for a result file; see ``fairness_summary``."""
    uniform, pool = (result.to_dict() for result in both)
    members = both[0].group_sizes.tolist()
    top_shares = both[0].top_shares.mean(axis=0).tolist()
    return {
        **{metric: {"uniform": uniform[metric], "pool": pool[metric]} for metric in uniform},
        "absent_groups": int(both[0].absent_groups.sum()),
        "groups": {
            name: {"members": n, "top_share": share} for name, n, share in zip(group_names, members, top_shares, strict=True)
        },
    }


def fairness_summary(
    scores: Any, groups: Any, *, k: int, group_names: Sequence[str], seed: int = 0, n_bootstrap: int = 1000, n_floor: int = 1000
) -> dict[str, Any]:
    """Both targets of ``rank_fairness`` in one pass, as a dictionary for a result file. Arguments as ``fairness_of_targets``.

    Returns:
        ``{"maxskew@K": {"uniform": {"value", "low", "high", "floor"}, "pool": {...}}, "minskew@K": ..., "ndkl@K": ...,
        "absent_groups": n, "groups": {name: {"members": n, "top_share": s}}}``: absent_groups counts the pairs of a query
        and a group that is absent from its top k, top_share is the mean over queries of the share among the top k.

    Raises:
        ValueError: as ``rank_fairness``.
    """
    both = fairness_of_targets(
        scores, groups, k=k, group_names=group_names, seed=seed, n_bootstrap=n_bootstrap, n_floor=n_floor
    )
    return summarise(both, group_names)


def paired_difference(first: RankFairness, second: RankFairness, *, confidence: float = 0.95) -> dict[str, Interval]:
    """Mean over queries of ``second`` minus ``first`` per metric, with paired bootstrap intervals.

    Both must come from ``rank_fairness`` with the same gallery, k, target and seed, so that resample b drew the same queries
    and images for both models and the spread they share cancels.

    Raises:
        ValueError: if the two were not drawn alike or have no resamples.
    """
    if first.draws != second.draws or not first.resampled_means:
        raise ValueError("the two results are not paired; give both one gallery, k, target, absent, seed and n_bootstrap > 0")
    differences = {}
    for metric in METRICS:
        value = second.mean[metric].value - first.mean[metric].value
        resamples = second.resampled_means[metric] - first.resampled_means[metric]
        low, high = map(float, recentred_bounds(resamples, np.float64(value), confidence))
        differences[metric] = Interval(value, low, high)
    return differences
