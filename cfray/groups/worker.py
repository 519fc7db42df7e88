"""What every Ray Train worker of a classifier runs: all methods and seeds, one after the other, on the same inputs."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch

from cfray import storage
from cfray.groups.classifier import save_classifier
from cfray.groups.config import ClassifyConfig
from cfray.groups.inputs import FILE, Inputs
from cfray.groups.loading import FrozenFeatures, Images
from cfray.groups.loop import Fit, Run, Worker, make_run

RESULTS = "results.json"
Results = dict[str, dict[str, Any]]


def train_worker(arguments: dict[str, Any]) -> None:
    """Fit every method with every seed; after each the results so far are a checkpoint, from which a restart goes on."""
    config = ClassifyConfig.model_validate(arguments["config"])
    if config.gpus_per_worker == 0:
        torch.set_num_threads(max(1, int(config.cpus_per_worker)))
    context, torch_tools = ray.train.get_context(), ray.train.torch
    worker = Worker(
        context.get_world_rank(), context.get_world_size(), torch_tools.get_device(), torch_tools.prepare_model
    )
    fit_all(config, arguments["classes"], worker, _resume(), _report)


def fit_all(
    config: ClassifyConfig, classes: list[str], worker: Worker, results: Results, report: Callable[[Results, int], None]
) -> Results:
    """Add what ``results`` lacks of every method and seed, and write the classifiers to the output folder.

    Args:
        config: with absolute places.
        classes: names of the classes.
        worker: this one.
        results: by the name of the run.
        report: called with the results and the worker's rank after every run.
    """
    inputs = Inputs.load(storage.join(config.output, FILE))
    data = FrozenFeatures(inputs) if inputs.features else Images(config, inputs, classes)
    for seed in config.seeds:
        for method in config.methods:
            run = make_run(inputs, method, seed, len(classes))
            if run.name in results:
                continue
            fit = Fit(config, inputs, data, run, classes, worker)
            results[run.name] = fit.train()
            if worker.rank == 0:
                place = storage.join(config.output, "classifiers", folder_of(run))
                save_classifier(place, config.backbone, classes, fit.state, data.dimensions)
                print(f"[classify] {run.name}: epoch {results[run.name]['epoch']} chosen", flush=True)
            report(results, worker.rank)
    return results


def folder_of(run: Run) -> str:
    """The name of a run's folder below ``classifiers``: "CLIP groups, augmented" with seed 0 is clip-groups-augmented-0."""
    return re.sub(r"\W+", "-", run.name).lower()


def _report(results: Results, rank: int) -> None:
    """Report to Ray Train; the first worker adds the results so far as a checkpoint."""
    metrics = {"finished_runs": len(results)}
    if rank != 0:
        ray.train.report(metrics)
        return
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / RESULTS).write_text(json.dumps(results))
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(scratch))


def _resume() -> Results:
    """The results of finished runs from the newest checkpoint, if there is one."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return {}
    with checkpoint.as_directory() as folder:
        return json.loads((Path(folder) / RESULTS).read_text())
