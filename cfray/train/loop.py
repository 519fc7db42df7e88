"""The training loop that every worker runs. It knows torch.distributed and no Ray."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from cfray import storage
from cfray.clip.model import load_clip
from cfray.train.batches import Batch, Batches, Prefetcher
from cfray.train.checkpoints import BEST, BestWeights, Ema, Progress, resume, write_checkpoint
from cfray.train.config import TrainConfig
from cfray.train.grad_cache import backward_in_chunks
from cfray.train.logs import Log, Throughput, open_logs
from cfray.train.objective import loss_terms, what_is_read
from cfray.train.probes import Probe, accuracy_lost, run_probes
from cfray.train.towers import Towers, choose_trainable, parameter_groups, prepare_compute


@dataclass(frozen=True)
class Worker:
    """One of the processes that train together.

    ``report`` takes the newest row of the curve and, of the first worker, a checkpoint folder that it copies before it returns
    or owns from then on. ``checkpoint`` is the folder to go on from.
    """

    rank: int
    workers: int
    device: torch.device
    report: Callable[[dict[str, float], Path | None], None]
    checkpoint: Path | None = None


def fit(config: TrainConfig, worker: Worker) -> None:
    """Fine-tune on this worker's share of every batch until the last step, a guard or too many bad steps end it."""
    logging.getLogger().setLevel(logging.WARNING)  # open_clip tells every step of loading at INFO
    run = Run(config, worker)
    if run.progress.step == 0:
        run.first_row()
    batches = Prefetcher(run.batches, run.progress.step, config.steps, threads=config.loader_threads)
    throughput = Throughput(config.sets_per_batch, config.sets_per_batch * config.images_per_set)
    saved = time.monotonic()
    while run.progress.step < config.steps and run.progress.stopped is None:
        run.train_step(batches.next().to(worker.device))
        step = run.progress.step
        row_due = step % config.checkpoint_every == 0 or step == config.steps or run.progress.stopped is not None
        if row_due:
            run.add_row(throughput.read(len(run.progress.since_row), batches.waited))
        if row_due or run.agreed(_minutes_since(saved) >= (config.checkpoint_minutes or math.inf)):
            run.save(new_row=row_due)
            saved = time.monotonic()
    batches.close()
    run.close()


class Run:
    """The model, its optimizer and what is known of the run so far."""

    def __init__(self, config: TrainConfig, worker: Worker):
        self.config, self._worker = config, worker
        torch.manual_seed(config.seed)
        self.clip = load_clip(config.model)
        self.clip.model.to(worker.device)
        self.batches = Batches(config, self.clip, rank=worker.rank, workers=worker.workers)
        choose_trainable(self.clip.model, config)
        prepare_compute(self.clip.model, config.compute)
        bias = config.loss.logit_bias if what_is_read(config).bias else None
        self.towers = Towers(self.clip.model, config.compute, bias).to(worker.device)
        self._optimizer = torch.optim.AdamW(
            parameter_groups(self.towers, config.weight_decay), lr=config.learning_rate, betas=(0.9, 0.98), eps=1e-6
        )
        self._ema = None if config.ema is None else Ema(self.towers, config.ema)
        self.progress = Progress()
        if worker.checkpoint is not None:
            self.progress = resume(worker.checkpoint, self.towers, self._optimizer, self._ema)
        self._model = _distributed(self.towers, worker)
        first = worker.rank == 0
        self._probes = [Probe(probe) for probe in config.probes] if first else []
        self._logs: list[Log] = open_logs(config, self.progress.step) if first else []
        self._best = BestWeights(storage.join(config.output, BEST))
        self._model.train()

    def first_row(self) -> None:
        """The terms of the first batch and the probes before any step; with a guard these weights can be the best."""
        self._model.eval()
        batch = self.batches.batch(0).to(self._worker.device)
        with torch.no_grad():
            terms = loss_terms(self.config, self._model(batch.images, batch.ids), batch)
        row = {"step": 0, **self._mean_over_workers(terms), **run_probes(self._probes, self.clip)}
        self._model.train()
        self.progress.curve.append(row)
        self._log(row)
        if self._worker.rank == 0 and self.config.max_accuracy_lost is not None:
            with TemporaryDirectory() as scratch:
                self._write(Path(scratch))
                self._best.keep(Path(scratch), 0)
            self.progress.best = row

    def train_step(self, batch: Batch) -> None:
        """One step of the optimizer; a gradient that is not finite leaves everything as it was and is counted."""
        config, progress = self.config, self.progress
        rate = config.learning_rate * schedule(progress.step, config.steps, config.warmup)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        # Dropout is the same in a run that was interrupted, and differs between workers.
        torch.manual_seed(int(np.random.SeedSequence((config.seed, progress.step, self._worker.rank)).generate_state(1)[0]))
        self._optimizer.zero_grad(set_to_none=True)
        terms = self.backward(batch)
        norm = nn.utils.clip_grad_norm_(self.towers.parameters(), config.clip_gradient)
        progress.step += 1
        if bool(norm.isfinite()):  # the same on all workers: the gradient is
            self._optimizer.step()
            with torch.no_grad():
                # As in CLIP: a scale over 100 makes training unstable.
                self.clip.model.logit_scale.clamp_(0, math.log(100))
            if self._ema is not None:
                self._ema.update()
            numbers = self._mean_over_workers(terms) | {"gradient_norm": float(norm), "learning_rate": rate}
            progress.since_row.append(numbers)
            if progress.step % config.log.every == 0:
                self._log({"step": progress.step, **numbers})
        else:
            progress.bad_steps += 1
            print(f"[train] step {progress.step}: the gradient is not finite; skipped", flush=True)
            if progress.bad_steps > config.max_bad_steps:
                progress.stopped = f"not finite: {progress.bad_steps} steps had a gradient that is not finite"

    def add_row(self, rates: dict[str, float]) -> None:
        """Means since the last row, rates and probes; on the first worker the guard and the choice of the best weights."""
        progress, seen = self.progress, self.progress.since_row
        means = {key: sum(row[key] for row in seen) / len(seen) for key in seen[0]} if seen else {}
        row = {"step": progress.step, **means, **rates, "bad_steps": progress.bad_steps, **self._probe()}
        progress.since_row = []
        progress.curve.append(row)
        self._log(row)
        lost = self._guard(row)
        if self.agreed(lost is not None) and progress.stopped is None:
            progress.stopped = lost or "the guard of the first worker"

    def save(self, *, new_row: bool) -> None:
        """Report the newest row; the first worker adds a checkpoint from which the same run goes on, and keeps the best."""
        row = self.progress.curve[-1] if new_row else {"step": self.progress.step}
        if self._worker.rank != 0:
            self._worker.report(row, None)
            return
        print(f"[train] {json.dumps({key: round(value, 4) for key, value in row.items()})}", flush=True)
        folder = Path(mkdtemp(prefix="cfray-checkpoint-"))
        if new_row and self._is_best(row):
            self.progress.best = row
        self._write(folder)
        if self.progress.best is row:
            self._best.keep(folder, row["step"])
        self._worker.report(row, folder)

    def agreed(self, wish: bool) -> bool:
        """What the first worker wishes, on all workers: clocks and probes are its own."""
        if self._worker.workers == 1 or (self.config.checkpoint_minutes is None and self.config.max_accuracy_lost is None):
            return wish
        flag = torch.tensor([wish], dtype=torch.int32, device=self._worker.device)
        dist.broadcast(flag, src=0)
        return bool(flag.item())

    def close(self) -> None:
        self._best.wait()
        for log in self._logs:
            log.close()

    def backward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Leave the gradient of the global batch's loss in the parameters; returns the loss terms."""

        def terms_of(features):
            return loss_terms(self.config, features, batch)

        if self.config.chunks > 1:
            return backward_in_chunks(self._model, batch.images, batch.ids, terms_of, chunks=self.config.chunks)
        terms = terms_of(self._model(batch.images, batch.ids))
        terms["loss"].backward()
        return terms

    def _probe(self) -> dict[str, float]:
        if not self._probes:
            return {}
        self._model.eval()
        with self._released():
            measured = run_probes(self._probes, self.clip)
        self._model.train()
        return measured

    def _released(self):
        """The weights as they would be released stand in the model inside."""
        return nullcontext() if self._ema is None else self._ema.applied()

    def _write(self, folder: Path) -> None:
        write_checkpoint(folder, self.clip, self.config.model, self.towers, self._optimizer, self._ema, self.progress)

    def _guard(self, row: dict[str, float]) -> str | None:
        """Why the run has to stop, if a probe fell by more than the limit."""
        limit = self.config.max_accuracy_lost
        if limit is None or not self._probes:
            return None
        name, lost = accuracy_lost(self.progress.curve[0], row)
        if lost <= limit:
            return None
        return f"accuracy: {name} fell by {lost:.4f} at step {row['step']}, more than max_accuracy_lost={limit:g}"

    def _is_best(self, row: dict[str, float]) -> bool:
        """The least loss so far among the rows that the guard lets pass; untrained weights are better than none of them."""
        best = self.progress.best
        if "loss" not in row or self._guard(row) is not None:
            return False
        return best is None or best["step"] == 0 or row["loss"] < best["loss"]

    def _log(self, row: dict[str, float]) -> None:
        numbers = {key: value for key, value in row.items() if key != "step"}
        for log in self._logs:
            log.write(int(row["step"]), numbers)

    def _mean_over_workers(self, terms: dict[str, torch.Tensor]) -> dict[str, float]:
        values = torch.stack([value.detach().float() for value in terms.values()])
        if self._worker.workers > 1:
            dist.all_reduce(values)
            values /= self._worker.workers
        return dict(zip(terms, values.tolist(), strict=True))


def schedule(step: int, steps: int, warmup: int) -> float:
    """The share of the learning rate at ``step``: a linear warm-up, then half a cosine down to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _distributed(towers: Towers, worker: Worker) -> nn.Module:
    if worker.workers == 1:
        return towers
    return DistributedDataParallel(
        towers,
        device_ids=[worker.device] if worker.device.type == "cuda" else None,
        broadcast_buffers=False,  # batch statistics are frozen
    )


def _minutes_since(moment: float) -> float:
    return (time.monotonic() - moment) / 60
