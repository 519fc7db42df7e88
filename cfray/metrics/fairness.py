"""MaxSkew, MinSkew and NDKL of many queries over one gallery, with random floors, bootstrap intervals and absent groups."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cfray.metrics.bootstrap import Interval
from cfray.metrics.divergence import divergences
from cfray.metrics.ranking import check_k, check_scores
from cfray.metrics.resampling import METRICS, Draws, GalleryResampler, Partition, rank_metrics, recentred_bounds
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


def measure_partitions(
    scores: np.ndarray, partitions: Sequence[Partition], draws: Draws, *, ks: Sequence[int], absent: str
) -> list[list[RankFairness]]:
    """Per partition the results for every k and target, k by k. All share the ranking and every draw."""
    ks = [check_k(k, scores.shape[1]) for k in ks]
    rankings = GalleryResampler(scores, max(ks))
    # An absent group in a random draw is no fault of the ranking, so "error" is for the measured ranking only.
    drawn_rule = "one" if absent == "error" else absent
    floors = draws.floors(partitions, ks, drawn_rule)
    galleries = [None] * len(partitions)
    if draws.resample != "queries":
        galleries = draws.galleries(rankings, partitions, ks, drawn_rule)
    queries, results = draws.queries(len(scores)), []
    for part, floor, resampled in zip(partitions, floors, galleries, strict=True):
        sizes = np.bincount(part.groups, minlength=part.n_groups)
        top = part.groups[rankings.top()]
        results.append([])
        for i, found in enumerate(divergences(top, part.n_groups, ks)):
            check_absent(found.counts, ks[i], absent)
            for t, target in enumerate(part.targets):
                share = target_shares(target, sizes)
                values = rank_metrics(found, share, absent)
                if resampled is None:
                    each = np.broadcast_to(values[:, None], (len(METRICS), draws.n_bootstrap, len(scores)))
                else:
                    each = resampled[i, t]
                query_intervals, resampled_means = _intervals(each, values, queries, draws)
                mean = {
                    metric: _estimate(values[m], resampled_means.get(metric), floor[i, t, m], draws.confidence)
                    for m, metric in enumerate(METRICS)
                }
                result = RankFairness(
                    k=ks[i], target=target if isinstance(target, str) else "given", group_sizes=sizes, target_shares=share,
                    top_shares=found.counts / ks[i], skew=skew_from_counts(found.counts, share, absent),
                    max_skew=values[0], min_skew=values[1], ndkl=values[2],
                    absent_groups=(found.counts == 0).sum(axis=1), query_intervals=query_intervals, mean=mean,
                    resampled_means=resampled_means,
                    draws=(draws, len(scores), zlib.crc32(part.groups), ks[i], absent, *share.tolist()),
                )  # fmt: skip
                results[-1].append(result)
    return results


def _intervals(
    each: np.ndarray, values: np.ndarray, queries: np.ndarray, draws: Draws
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Per metric the interval of every query (Q, 2) and the mean over queries of every resample (B,), from resamples
    (3, B, Q) and values (3, Q); both empty without resamples."""
    if not draws.n_bootstrap:
        return {}, {}
    bounds = recentred_bounds(each.swapaxes(0, 1), values, draws.confidence)
    means = np.take_along_axis(each, queries[None], axis=2).mean(axis=2)
    per_query = {metric: np.stack(pair, axis=1) for metric, *pair in zip(METRICS, *bounds, strict=True)}
    return per_query, dict(zip(METRICS, means, strict=True))


def _estimate(values: np.ndarray, resampled: np.ndarray | None, floor: float, confidence: float) -> Estimate:
    value = float(values.mean())
    low = high = None
    if resampled is not None:
        low, high = map(float, recentred_bounds(resampled, value, confidence))
    return Estimate(value, low, high, None if np.isnan(floor) else float(floor))


def partition_of(scores: np.ndarray, groups: Any, targets: Sequence[Target], n_groups: int | None) -> Partition:
    """The checked groups of a gallery that ``scores`` (Q, n) rank."""
    groups, sizes = check_groups(groups, n_groups)
    if len(groups) != scores.shape[1]:
        raise ValueError(f"groups have {len(groups)} entries, scores rank a gallery of {scores.shape[1]}; give one per image")
    return Partition(groups, len(sizes), targets)


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
    scores = check_scores(scores)
    return measure_partitions(scores, [partition_of(scores, groups, [target], n_groups)], draws, ks=[k], absent=absent)[0][0]


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
