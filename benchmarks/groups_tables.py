"""What the benchmarks of groups without labels share: the methods compared and the table of a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from cfray import storage
from cfray.groups.config import DEFAULT_METHODS, ClassifyConfig
from cfray.groups.inputs import prepare
from cfray.groups.job import for_workers, summarise
from cfray.groups.loop import Worker
from cfray.groups.worker import fit_all
from cfray.report.classifier import interval, render_classifier
from cfray.report.words import percent

ALL_METHODS = [
    *(method.model_dump() for method in DEFAULT_METHODS),
    {"name": "true groups", "mode": "resample", "groups": "true"},
    {"name": "true groups, augmented", "mode": "resample", "groups": "true", "augment": ["standard"]},
]


def run_here(config: ClassifyConfig) -> dict[str, Any]:
    """What ``jobs/classify.py`` does, in this process and without a cluster."""
    torch.set_num_threads(1)
    config = for_workers(config)
    facts = prepare(config)
    runs = fit_all(config, facts["classes"], Worker(), {}, lambda results, rank: None)
    result = summarise(config, list(runs.values()), facts)
    storage.write_bytes(storage.join(config.output, "report.html"), render_classifier(result).encode())
    return result


def table(result: Mapping[str, Any], majority: set[tuple[str, str]], share: float) -> str:
    """A Markdown table: worst cell, mean over the balanced test samples, and mean at the training mix.

    Args:
        result: of ``cfray.groups.job.classify``, with true groups.
        majority: the (class, group) cells that hold ``share`` of the training samples.
        share: see above.
    """
    agreement = result["groups"]["agreement"]
    lines = [
        f"inferred groups of the test samples: accuracy {percent(agreement['accuracy'])}, "
        f"minority recall {percent(agreement['minority_recall'])}; wording {result['groups']['wording']}", "",
        "| method | worst-group accuracy | of the gap closed | mean, balanced test | mean, training mix | equalised odds gap |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    shares = (result["gap_closed"] or {}).get("shares", {})
    for name, method in result["methods"].items():
        cells, metrics = method["cells"], method["metrics"]
        inside = [cell["accuracy"] for cell in cells if (cell["class"], cell["group"]) in majority]
        outside = [cell["accuracy"] for cell in cells if (cell["class"], cell["group"]) not in majority]
        mixed = share * sum(inside) / len(inside) + (1 - share) * sum(outside) / len(outside)
        closed = percent(shares[name], 0) if name in shares else ""
        lines.append(
            f"| {name} | {interval(metrics['worst_cell_accuracy'])} | {closed} | {interval(metrics['balanced_accuracy'])} "
            f"| {percent(mixed)} | {interval(metrics['equalised_odds_gap'])} |"
        )
    return "\n".join(lines)
