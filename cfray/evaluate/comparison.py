"""What a comparison of measured models says: paired differences to a reference, skew per concept and group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cfray.evaluate.benchmark import Measurement
from cfray.evaluate.suite import able_scores
from cfray.metrics import RankFairness, paired_bootstrap_interval, paired_difference

METRICS = {"maxskew": "max_skew", "minskew": "min_skew", "ndkl": "ndkl"}


def comparison(
    found: Mapping[str, Measurement], reference: str, able_accuracy: str, n_bootstrap: int, seed: int
) -> dict[str, Any]:
    """What a comparison says, ready for JSON.

    Returns:
        ``{"schema": 1, "reference", "models": {name: {"fairness", "accuracy", "able"?}}, "differences": {name: {"fairness":
        {gallery: {attribute: {"maxskew@K": {target: {"value", "low", "high"}}}}}, "accuracy": {metric: {...}}}},
        "skew": {gallery: {attribute: {"K": {"groups", "concepts", "models": {name: [[mean skew]]}}}}}}``. A difference is the
        model minus the reference, over the same resamples of queries and images; skew is per concept and group, uniform
        target, mean over the concept's prompts.
    """
    models, differences = {}, {}
    for name, one in found.items():
        point = {"fairness": one.fairness, "accuracy": one.accuracy}
        models[name] = point | able_scores(point, able_accuracy)
        if name != reference:
            differences[name] = _differences(found[reference], one, n_bootstrap, seed)
    return {
        "schema": 1, "reference": reference, "models": models, "differences": differences, "skew": _skew(found, reference),
    }  # fmt: skip


def _differences(reference: Measurement, one: Measurement, n_bootstrap: int, seed: int) -> dict[str, Any]:
    fairness: dict[str, Any] = {}
    for gallery, attributes in reference.rankings.items():
        for attribute, results in attributes.items():
            rows = fairness.setdefault(gallery, {}).setdefault(attribute, {})
            for first, second in zip(results, one.rankings[gallery][attribute], strict=True):
                intervals = paired_difference(first, second)
                for short, metric in METRICS.items():
                    rows.setdefault(f"{short}@{first.k}", {})[first.target] = intervals[metric].to_dict()
    accuracy = {
        metric: paired_bootstrap_interval(hits, one.outcomes[metric], n_bootstrap=n_bootstrap, seed=seed).to_dict()
        for metric, hits in reference.outcomes.items()
    }
    return {"fairness": fairness, "accuracy": accuracy}


def _skew(found: Mapping[str, Measurement], reference: str) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for gallery, attributes in found[reference].rankings.items():
        if gallery not in found[reference].queries:
            continue  # its queries belong to no concept
        queries = np.array(found[reference].queries[gallery])
        concepts = list(dict.fromkeys(queries.tolist()))

        def per_concept(result: RankFairness, queries=queries, concepts=concepts) -> list[list[float]]:
            return [result.skew[queries == concept].mean(axis=0).tolist() for concept in concepts]

        for attribute, results in attributes.items():
            for i, result in enumerate(results):
                if result.target == "uniform":
                    tables.setdefault(gallery, {}).setdefault(attribute, {})[str(result.k)] = {
                        "groups": list(found[reference].fairness[gallery][attribute]["groups"]),
                        "concepts": concepts,
                        "models": {name: per_concept(one.rankings[gallery][attribute][i]) for name, one in found.items()},
                    }
    return tables
