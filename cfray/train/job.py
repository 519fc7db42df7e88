"""Runs the fine-tuning as a Ray Train job and puts the checkpoint where the next job looks for it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import ray.train
import torch
from ray.train.torch import TorchTrainer

from cfray import storage
from cfray.clip.model import load_clip, require_undebiased
from cfray.cluster import require_workers
from cfray.config import config_hash
from cfray.dataset.store import read_sets
from cfray.errors import UserError
from cfray.runs import Record, finished_record
from cfray.train.config import TrainConfig
from cfray.train.loop import STATE_FILE, train_worker
from cfray.train.progress import StepProgress
from cfray.train.rehearsal import read_pictures

CHECKPOINT = "checkpoint"


def train(config: TrainConfig) -> dict[str, Any]:
    """Fine-tune and return the run's record; its result names the ``checkpoint`` folder and holds the ``curve``.

    A run that was killed goes on from its newest checkpoint; a finished run is not repeated.

    Raises:
        UserError: for a configuration that cannot run here, before any worker starts.
    """
    done = finished_record(config.output, config)
    if done is not None:
        return done
    preflight(config)
    record = Record(config.output, "train", config)
    record.start()
    filesystem, folder = storage.resolve(storage.join(config.output, "ray"))
    trainer = TorchTrainer(
        train_worker,
        train_loop_config=_for_workers(config).model_dump(mode="json"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=config.workers,
            use_gpu=config.gpus_per_worker > 0,
            resources_per_worker={"CPU": config.cpus_per_worker, "GPU": config.gpus_per_worker},
        ),
        run_config=ray.train.RunConfig(
            name=f"train-{config_hash(config)}",
            storage_path=folder,
            storage_filesystem=filesystem,
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
            callbacks=[StepProgress(config.steps)],
            failure_config=ray.train.FailureConfig(max_failures=config.max_failures),
        ),
    )
    with record.timed("train"):
        result = trainer.fit()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(result.checkpoint.to_directory(scratch))
        curve = torch.load(folder / STATE_FILE, weights_only=True)["curve"]
        (folder / STATE_FILE).unlink()
        storage.upload_folder(folder, storage.join(config.output, CHECKPOINT))
    record.finish(checkpoint=storage.join(config.output, CHECKPOINT), curve=curve)
    return record.data


def preflight(config: TrainConfig) -> None:
    """Refuse what cannot work before anything is written.

    Raises:
        UserError: if the model or data set is missing, the output cannot be written, workers do not fit the cluster,
            or batches do not divide among them.
    """
    require_workers(config.workers, config.cpus_per_worker, config.gpus_per_worker)
    if config.sets_per_batch % config.workers:
        raise UserError(
            f"sets_per_batch={config.sets_per_batch} is not a multiple of workers={config.workers}; change one of them"
        )
    kept = read_sets(config.data).num_rows
    if kept < config.sets_per_batch:
        raise UserError(
            f"sets_per_batch={config.sets_per_batch} needs as many kept sets, data set {config.data!r} has {kept}; lower it"
        )
    if config.rehearsal is not None:
        held = len(read_pictures(config.rehearsal.data))
        if held < config.rehearsal.images_per_step or config.rehearsal.images_per_step % config.workers:
            raise UserError(
                f"rehearsal.images_per_step={config.rehearsal.images_per_step} must be a multiple of "
                f"workers={config.workers} and at most the {held} pictures of {config.rehearsal.data!r}"
            )
    require_undebiased(load_clip(config.model), config.model)
    storage.require_writable(config.output)


def _for_workers(config: TrainConfig) -> TrainConfig:
    """The configuration with absolute local places: Ray Train's workers run in a folder of their own."""
    model = storage.absolute(config.model) if Path(config.model).is_dir() else config.model
    places = {"data": storage.absolute(config.data), "model": model}
    if config.rehearsal is not None:
        places["rehearsal"] = config.rehearsal.model_copy(update={"data": storage.absolute(config.rehearsal.data)})
    return config.model_copy(update=places)
