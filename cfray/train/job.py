"""Runs the fine-tuning as a Ray Train job and puts the checkpoint where the next job looks for it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch
from ray.train.torch import TorchTrainer

from cfray import storage
from cfray.clip.huggingface import NoCounterpartError, save_huggingface
from cfray.clip.model import load_clip, require_undebiased
from cfray.clip.release import origin_files, write_blends
from cfray.cluster import require_workers
from cfray.config import config_hash
from cfray.dataset.pairs import count_pairs
from cfray.dataset.store import read_sets
from cfray.errors import UserError
from cfray.runs import Record, finished_record
from cfray.train.checkpoints import BEST, STATE_FILE, best_place, read_progress
from cfray.train.config import TrainConfig
from cfray.train.logs import require_clients
from cfray.train.loop import Worker, fit
from cfray.train.probes import Probe
from cfray.train.progress import StepProgress
from cfray.train.towers import choose_trainable, valid_indexes

CHECKPOINT = "checkpoint"
Watch = Callable[[dict[str, float], Path], None]


def train(
    config: TrainConfig, watch: Watch | None = None, callbacks: Sequence[ray.train.UserCallback] = ()
) -> dict[str, Any]:
    """Fine-tune and return the run's record; its result names the ``checkpoint`` folder and holds the ``curve``.

    A run that was killed goes on from its newest checkpoint, one without workers of its own begins anew; a finished run is
    not repeated. ``checkpoint`` holds the last weights, or the best ones if the guard on accuracy stopped the run; ``stopped``
    says so.

    Args:
        config: what to train.
        watch: called with every row of the curve and the folder of its checkpoint, with ``workers=0`` only.
        callbacks: further ones of Ray Train, with workers only.

    Raises:
        UserError: for a configuration that cannot run here, before any worker starts, and for a run that too many steps
            without a finite gradient ended.
    """
    done = finished_record(config.output, config)
    if done is not None:
        return done
    indexes = preflight(config)
    record = Record(config.output, "train", config)
    record.start()
    place = storage.join(config.output, CHECKPOINT)
    with tempfile.TemporaryDirectory() as scratch:
        with record.timed("train"):
            folder = Path(scratch) / "newest"
            if config.workers == 0:
                _train_here(config, folder, watch)
            else:
                _train_on_workers(config, folder, callbacks)
        progress = read_progress(folder)
        if progress.stopped is not None and progress.stopped.startswith("not finite"):
            raise UserError(
                f"training ended at step {progress.step} ({progress.stopped}, max_bad_steps={config.max_bad_steps}); lower "
                "learning_rate or set compute.precision=fp32"
            )
        if progress.stopped is not None:
            print(f"[train] stopped: {progress.stopped}; the result is the best checkpoint, of step {progress.best['step']}")
            best = best_place(storage.join(config.output, BEST), int(progress.best["step"]))
            folder = storage.download_folder(best, Path(scratch) / BEST)
        (folder / STATE_FILE).unlink(missing_ok=True)
        outcome = {
            "checkpoint": place, "curve": progress.curve, "stopped": progress.stopped, "best": progress.best,
            "bad_steps": progress.bad_steps, "valid_indexes": indexes,
        }  # fmt: skip
        training = {"config": config.model_dump(mode="json"), "result": outcome}
        for name, content in origin_files(_for_workers(config).model, training).items():
            (folder / name).write_bytes(content)
        storage.upload_folder(folder, place)
    with record.timed("export"):
        outcome |= _export(config, place)
    record.finish(**outcome)
    return record.data


def _train_here(config: TrainConfig, newest: Path, watch: Watch | None) -> None:
    """Train in this process and leave the last checkpoint in the folder ``newest``."""

    def report(row: dict[str, float], folder: Path | None) -> None:
        shutil.rmtree(newest, ignore_errors=True)
        shutil.move(folder, newest)
        if watch is not None:
            watch(row, newest)

    device = torch.device("cuda" if config.gpus_per_worker else "cpu")
    if not config.gpus_per_worker:
        torch.set_num_threads(max(1, int(config.cpus_per_worker)))
    fit(_for_workers(config), Worker(0, 1, device, report))


def _train_on_workers(config: TrainConfig, newest: Path, callbacks: Sequence[ray.train.UserCallback]) -> None:
    """Train with Ray Train and leave the last checkpoint in the folder ``newest``."""
    filesystem, folder = storage.resolve(storage.join(config.output, "ray"))
    trainer = TorchTrainer(
        _train_worker,
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
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=config.keep_checkpoints),
            callbacks=[StepProgress(config.steps), *callbacks],
            failure_config=ray.train.FailureConfig(max_failures=config.max_failures),
        ),
    )
    trainer.fit().checkpoint.to_directory(str(newest))


def _export(config: TrainConfig, checkpoint: str) -> dict[str, Any]:
    """Write the blends and the Hugging Face folder; returns their places, and why there is no such folder."""
    exported: dict[str, Any] = {"blends": {}, "huggingface": None}
    if config.blends:
        exported["blends"] = write_blends(config.model, checkpoint, config.blends, storage.join(config.output, "blends"))
    if config.huggingface:
        clip, place = load_clip(checkpoint), storage.join(config.output, "huggingface")
        try:
            save_huggingface(clip, clip.model.state_dict(), place)
            exported["huggingface"] = place
        except NoCounterpartError as error:
            exported["huggingface_left_out"] = str(error)
            print(f"[train] no Hugging Face folder: {error}", flush=True)
    return exported


def preflight(config: TrainConfig) -> dict[str, bool]:
    """Refuse what cannot work before anything is written; returns which indexes of embeddings stay valid.

    Raises:
        UserError: if the model or data set is missing, the output cannot be written, workers do not fit the cluster,
            batches do not divide among them, or a log's client is not installed.
    """
    require_clients(config)
    workers = max(1, config.workers)
    if config.sets_per_batch % workers:
        raise UserError(
            f"sets_per_batch={config.sets_per_batch} is not a multiple of workers={config.workers}; change one of them"
        )
    share = config.sets_per_batch // workers
    if config.chunks > share:
        raise UserError(f"chunks={config.chunks} is more than the {share} sets of a worker's batch; lower it")
    if config.images_per_set == 1 and config.loss.beta_cf:
        raise UserError("images_per_set=1 leaves no counterfactual to compare; use at least 2, or loss.beta_cf=0")
    if not (config.loss.beta_clip or config.loss.beta_cf):
        raise UserError("loss.beta_clip and loss.beta_cf are both 0, which leaves nothing to learn; give one of them")
    if config.max_accuracy_lost is not None and not config.probes:
        raise UserError(f"max_accuracy_lost={config.max_accuracy_lost:g} needs probes to measure accuracy; give probes=[...]")
    kept = read_sets(config.data, columns=["set_id", "status"]).num_rows
    if kept < config.sets_per_batch:
        raise UserError(
            f"sets_per_batch={config.sets_per_batch} needs as many kept sets, data set {config.data!r} has {kept}; lower it"
        )
    for entry in config.rehearsal:
        held = count_pairs(entry.data, captions=entry.form == "pairs")
        if held < entry.images_per_step or entry.images_per_step % workers:
            raise UserError(
                f"rehearsal.images_per_step={entry.images_per_step} must be a multiple of workers={config.workers} and at most "
                f"the {held} pictures of {entry.data!r}"
            )
    for probe in config.probes:
        Probe(probe)
    clip = load_clip(config.model)
    require_undebiased(clip, config.model)
    choose_trainable(clip.model, config)
    storage.require_writable(config.output)
    if config.workers:
        require_workers(config.workers, config.cpus_per_worker, config.gpus_per_worker)
    return valid_indexes(clip.model)


def _train_worker(arguments: dict[str, Any]) -> None:
    """What each worker of Ray Train runs."""
    config, context = TrainConfig.model_validate(arguments), ray.train.get_context()
    if config.gpus_per_worker == 0:
        torch.set_num_threads(max(1, int(config.cpus_per_worker)))
    # A remote place takes a checkpoint while training goes on; a disk is done before that would pay.
    modes = ray.train.CheckpointUploadMode
    mode = modes.ASYNC if storage.is_remote(config.output) else modes.SYNC

    def report(row: dict[str, float], folder: Path | None) -> None:
        checkpoint = None if folder is None else ray.train.Checkpoint.from_directory(folder)
        ray.train.report(row, checkpoint, checkpoint_upload_mode=mode, delete_local_checkpoint_after_upload=True)

    newest = ray.train.get_checkpoint()
    with nullcontext() if newest is None else newest.as_directory() as folder:
        worker = Worker(
            context.get_world_rank(), context.get_world_size(), ray.train.torch.get_device(), report,
            None if folder is None else Path(folder),
        )  # fmt: skip
        fit(config, worker)


def _for_workers(config: TrainConfig) -> TrainConfig:
    """The configuration with absolute local places: Ray Train's workers run in a folder of their own."""
    model = storage.absolute(config.model) if Path(config.model).is_dir() else config.model
    places: dict[str, Any] = {"data": storage.absolute(config.data), "output": storage.absolute(config.output), "model": model}
    places["rehearsal"] = [_with_absolute_data(entry) for entry in config.rehearsal]
    places["probes"] = [_with_absolute_data(probe) for probe in config.probes]
    return config.model_copy(update=places)


def _with_absolute_data(config):
    return config.model_copy(update={"data": storage.absolute(config.data)})
