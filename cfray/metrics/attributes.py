"""Fairness of several attributes, targets and k over one gallery at once, and its summary for a result file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cfray.metrics.fairness import RankFairness, measure_partitions, partition_of
from cfray.metrics.ranking import as_array, check_scores
from cfray.metrics.resampling import Draws


def fairness_of_attributes(
    scores: Any, attributes: Mapping[str, tuple[Any, Sequence[str]]], *, ks: Sequence[int], seed: int = 0,
    n_bootstrap: int = 1000, n_floor: int = 1000,
) -> dict[str, list[RankFairness]]:  # fmt: skip
    """``rank_fairness`` for several attributes of one gallery, several k, and the targets "uniform" and "pool".

    All share the ranking and every draw, which is several times faster than one call for each, and equal to it.

    Args:
        scores: (Q, n).
        attributes: per attribute the groups (n,), ids into its A names, and those names.
        ks: each 1..n.
        seed, n_bootstrap, n_floor: as in ``rank_fairness``; absent groups count as 1/k.

    Returns:
        Per attribute [uniform at ks[0], pool at ks[0], uniform at ks[1], ...].

    Raises:
        ValueError: as ``rank_fairness``, with the attribute in front where there are several.
    """
    scores, partitions = check_scores(scores), []
    for attribute, (groups, names) in attributes.items():
        ids = as_array(groups)
        empty = [name for group, name in enumerate(names) if ids.dtype.kind in "iub" and not (ids == group).any()]
        try:
            if empty:
                raise ValueError(f"group {empty[0]!r} has no member in the gallery of {len(ids)}; leave its name out")
            partitions.append(partition_of(scores, groups, ("uniform", "pool"), len(names)))
        except ValueError as error:
            raise ValueError(f"{attribute}: {error}" if len(attributes) > 1 else str(error)) from None
    draws = Draws(n_floor, n_bootstrap, confidence=0.95, resample="both", seed=seed)
    return dict(zip(attributes, measure_partitions(scores, partitions, draws, ks=ks, absent="one"), strict=True))


def fairness_of_targets(
    scores: Any, groups: Any, *, k: int, group_names: Sequence[str], seed: int = 0, n_bootstrap: int = 1000, n_floor: int = 1000
) -> list[RankFairness]:
    """``rank_fairness`` for the targets "uniform" and "pool", in this order; see ``fairness_of_attributes``."""
    found = fairness_of_attributes(
        scores, {"groups": (groups, group_names)}, ks=[k], seed=seed, n_bootstrap=n_bootstrap, n_floor=n_floor
    )
    return found["groups"]


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
