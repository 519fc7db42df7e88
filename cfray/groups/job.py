"""Trains the classifier by every method as one Ray Train job and reports what came out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray.train.torch import TorchTrainer

from cfray import storage
from cfray.clip.model import load_clip
from cfray.cluster import require_workers
from cfray.config import config_hash
from cfray.errors import UserError
from cfray.groups.augmentation import counterfactual_images, sources_of
from cfray.groups.classifier import build_classifier
from cfray.groups.config import ClassifyConfig, LinearBackbone
from cfray.groups.inputs import prepare
from cfray.groups.prompts import load_attribute
from cfray.groups.results import gap_closed, summarise_runs
from cfray.groups.samples import read_samples
from cfray.groups.worker import RESULTS, train_worker
from cfray.report.classifier import render_classifier
from cfray.runs import Record, finished_record


def classify(config: ClassifyConfig) -> dict[str, Any]:
    """Train by every method and seed and return the run's record; ``result.json`` and ``report.html`` are in its folder.

    A run that was killed goes on after the last method and seed that it finished; a finished run is not repeated.

    Raises:
        UserError: for a configuration that cannot run here, before anything is written.
    """
    done = finished_record(config.output, config)
    if done is not None:
        return done
    preflight(config)
    record = Record(config.output, "classify", config)
    record.start()
    absolute = for_workers(config)
    with record.timed("infer groups"):
        task = ray.remote(num_cpus=config.cpus_per_worker, num_gpus=config.gpus_per_worker)(prepare)
        facts = ray.get(task.remote(absolute))
    filesystem, folder = storage.resolve(storage.join(config.output, "ray"))
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"config": absolute.model_dump(mode="json"), "classes": facts["classes"]},
        scaling_config=ray.train.ScalingConfig(
            num_workers=config.workers,
            use_gpu=config.gpus_per_worker > 0,
            resources_per_worker={"CPU": config.cpus_per_worker, "GPU": config.gpus_per_worker},
        ),
        run_config=ray.train.RunConfig(
            name=f"classify-{config_hash(config)}",
            storage_path=folder,
            storage_filesystem=filesystem,
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
            failure_config=ray.train.FailureConfig(max_failures=config.max_failures),
        ),
    )
    with record.timed("train"):
        checkpoint = trainer.fit().checkpoint
    with checkpoint.as_directory() as folder:
        runs = list(json.loads((Path(folder) / RESULTS).read_text()).values())
    result = summarise(config, runs, facts)
    storage.write_bytes(storage.join(config.output, "result.json"), (json.dumps(result, indent=2) + "\n").encode())
    storage.write_bytes(storage.join(config.output, "report.html"), render_classifier(result).encode())
    record.finish(**result)
    return record.data


def summarise(config: ClassifyConfig, runs: list[dict[str, Any]], facts: dict[str, Any]) -> dict[str, Any]:
    """The result: by true groups of the test samples where they are known, else by inferred ones; it says which."""
    classes, labels = facts["classes"], facts["test_labels"]
    positive = None if config.positive is None else classes.index(config.positive)
    methods = summarise_runs(runs, labels, facts["test_groups"], facts["test_names"], classes, positive)
    by_method = {method.name: method for method in config.methods}
    base = next((name for name, method in by_method.items() if method.mode == "erm"), None)
    best = next((name for name, method in by_method.items() if method.mode == "resample" and method.groups == "true"), None)
    return {
        "schema": 1, "measured_by": facts["measured_by"], "oracle": config.oracle,
        "classes": classes, "test_samples": len(labels), "seeds": config.seeds,
        "groups": {key: facts[key] for key in ("groups", "wording", "agreement", "confidence", "cells")},
        "methods": methods,
        "gap_closed": {"base": base, "best": best, "shares": gap_closed(methods, base, best)} if base and best else None,
    }  # fmt: skip


def preflight(config: ClassifyConfig) -> None:
    """Refuse what cannot work before anything is written.

    Raises:
        UserError: for methods that need what the configuration does not give, a model, data set or prompts that are missing,
            samples that do not fit, workers that do not fit, or an output that cannot be written.
    """
    names = [method.name for method in config.methods]
    if len(set(names)) < len(names):
        raise UserError(f"methods has the name {max(names, key=names.count)!r} twice; results are called by it")
    for method in config.methods:
        _require_possible(method, config)
    if config.train.group_column is not None and not config.oracle:
        raise UserError(
            f"train.group_column={config.train.group_column!r} are true groups, and oracle is false; leave it out, or set "
            "oracle=true for the methods that may use them"
        )
    for attribute in config.groups.attributes:
        load_attribute(config.groups.prompts, attribute)
    _, classes = read_samples(config)
    if config.positive is not None and config.positive not in classes:
        raise UserError(f"positive={config.positive!r} is no class; those are {', '.join(classes)}")
    if config.counterfactuals is not None and "counterfactuals" in sources_of(config):
        counterfactual_images(config.counterfactuals, classes)
    for name in {config.groups.clip, *([config.backbone.clip] if isinstance(config.backbone, LinearBackbone) else [])}:
        load_clip(name)
    if not isinstance(config.backbone, LinearBackbone):
        build_classifier(config.backbone, len(classes))
    storage.require_writable(config.output)
    require_workers(config.workers, config.cpus_per_worker, config.gpus_per_worker)


def _require_possible(method, config: ClassifyConfig) -> None:
    if method.groups == "true" and not config.oracle:
        raise UserError(f"method {method.name!r} trains with true groups, and oracle is false; set oracle=true or leave it out")
    if method.augment and (method.mode != "resample" or method.groups == "random"):
        raise UserError(f"method {method.name!r} augments weak cells, which only mode=resample with groups has; change one")
    if "counterfactuals" in method.augment and (config.counterfactuals is None or method.groups == "true"):
        raise UserError(
            f"method {method.name!r} augments with counterfactuals; it needs counterfactuals.data, and inferred groups, "
            "because counterfactuals have no true ones"
        )
    if method.mode == "penalty" and method.parity == "equal_opportunity" and config.positive is None:
        raise UserError(f"method {method.name!r} has parity=equal_opportunity, which is about one class; give positive=CLASS")


def for_workers(config: ClassifyConfig) -> ClassifyConfig:
    """The configuration with absolute local places: Ray's workers run in a folder of their own."""

    def place(name: str) -> str:
        return storage.absolute(name) if Path(name).exists() else name

    def samples(split):
        places = {key: place(value) for key in ("images", "labels") if (value := getattr(split, key)) is not None}
        return split.model_copy(update=places)

    backbone, groups = config.backbone, config.groups
    if isinstance(backbone, LinearBackbone):
        backbone = backbone.model_copy(update={"clip": place(backbone.clip)})
    elif backbone.weights is not None:
        backbone = backbone.model_copy(update={"weights": place(backbone.weights)})
    groups = groups.model_copy(update={"clip": place(groups.clip), "prompts": groups.prompts and place(groups.prompts)})
    counterfactuals = config.counterfactuals
    if counterfactuals is not None:
        counterfactuals = counterfactuals.model_copy(update={"data": place(counterfactuals.data)})
    return config.model_copy(update={
        "output": storage.absolute(config.output), "cache": storage.absolute(config.cache), "backbone": backbone,
        "groups": groups, "counterfactuals": counterfactuals, "train": samples(config.train), "test": samples(config.test),
        "validation": config.validation and samples(config.validation),
    })  # fmt: skip
