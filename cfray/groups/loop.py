"""Fits a classifier by one method with one seed, on this worker's share of every batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from cfray.groups.augmentation import SOURCES
from cfray.groups.cells import CellSampler, WeightedSampler, cell_ids, mean_by
from cfray.groups.classifier import LinearHead, build_classifier
from cfray.groups.config import ClassifyConfig, MethodConfig
from cfray.groups.inputs import Inputs
from cfray.groups.loading import FrozenFeatures, Images
from cfray.groups.penalty import correlation_penalty
from cfray.train.losses import gather_with_gradient


@dataclass(frozen=True)
class Run:
    """One method with one seed; ``cells`` are those of its groups by split, None where the method has no groups."""

    method: MethodConfig
    seed: int
    cells: dict[str, np.ndarray] | None
    n_cells: int
    relevancy: torch.Tensor | None

    @property
    def name(self) -> str:
        return f"{self.method.name}-{self.seed}"


def make_run(inputs: Inputs, method: MethodConfig, seed: int, n_classes: int) -> Run:
    """The cells of a method; random groups are the inferred ones in random order, another for every seed."""
    if method.mode in ("erm", "jtt"):
        return Run(method, seed, None, 0, None)
    kind = "true" if method.groups == "true" else "inferred"
    relevancy = inputs.relevancy[kind]["train"]
    groups = {split: ids.numpy() for split, ids in inputs.groups[kind].items()}
    if method.groups == "random":
        rng = np.random.default_rng((seed, 1))
        order = rng.permutation(len(relevancy))
        relevancy = relevancy[order]
        groups = {"train": groups["train"][order], "validation": rng.permutation(groups["validation"])}
    n_groups = relevancy.shape[1]
    cells = {split: cell_ids(inputs.labels[split].numpy(), groups[split], n_groups) for split in ("train", "validation")}
    return Run(method, seed, cells, n_classes * n_groups, relevancy)


@dataclass(frozen=True)
class Worker:
    """One of the workers that fit together. ``prepare`` puts a model on its device and ties it to those of the others."""

    rank: int = 0
    workers: int = 1
    device: torch.device = torch.device("cpu")
    prepare: Callable[[nn.Module], nn.Module] = lambda model: model


class Fit:
    """Fits one run. ``state`` are the weights of the epoch with the least worst loss on the validation samples.

    The loss that counts is that of the worst cell for methods with groups, of the worst class for JTT, of all for ERM: no
    method is selected by groups that it is not trained with.
    """

    def __init__(
        self, config: ClassifyConfig, inputs: Inputs, data: FrozenFeatures | Images, run: Run, classes: list[str],
        worker: Worker,
    ):  # fmt: skip
        self._config, self._inputs, self._data, self._run = config, inputs, data, run
        self._classes, self._worker, self._device = classes, worker, worker.device
        self._labels = torch.cat([inputs.labels["train"], inputs.extra_labels])
        self._positive = None if config.positive is None else classes.index(config.positive)
        self.state: dict[str, torch.Tensor] = {}

    def train(self) -> dict[str, Any]:
        """Fit and return the curve, the epoch chosen and the class predicted for every test sample."""
        fitting, n = self._config.fitting, len(self._inputs.labels["train"])
        sampler: CellSampler | WeightedSampler = WeightedSampler(np.ones(n))
        if self._run.method.mode == "jtt":
            first = self._new_model()
            self._epochs(first, sampler, fitting.jtt_epochs, [])
            wrong = self._predict(first, "train") != self._inputs.labels["train"].numpy()
            sampler = WeightedSampler(np.where(wrong, fitting.jtt_weight, 1.0))
        elif self._run.method.mode == "resample":
            sampler = self._cell_sampler()
        model, curve = self._new_model(), []
        self._epochs(model, sampler, fitting.epochs, curve)
        chosen = min(curve, key=lambda row: row["selection_loss"])
        _inner(model).load_state_dict(self.state)
        return {"method": self._run.method.name, "seed": self._run.seed, "curve": curve, "epoch": chosen["epoch"],
                "predictions": self._predict(model, "test").tolist()}  # fmt: skip

    def _new_model(self) -> nn.Module:
        torch.manual_seed(self._run.seed)
        model = build_classifier(self._config.backbone, len(self._classes), self._data.dimensions)
        if isinstance(model, LinearHead):
            model.standardise(self._inputs.features["train"])
        return self._worker.prepare(model)

    def _cell_sampler(self) -> CellSampler:
        run, fitting = self._run, self._config.fitting
        extras = None
        if run.method.augment and len(self._inputs.extra_labels):
            kind = "true" if run.method.groups == "true" else "inferred"
            groups, labels = self._inputs.extra_groups[kind].numpy(), self._inputs.extra_labels.numpy()
            wanted = np.isin(self._inputs.extra_sources.numpy(), [SOURCES.index(source) for source in run.method.augment])
            extras = np.where(wanted & (groups >= 0), cell_ids(labels, groups, run.relevancy.shape[1]), -1)
        share = fitting.augment_share if run.method.augment else 0.0
        return CellSampler(run.cells["train"], run.n_cells, extras=extras, augment_share=share, step_size=fitting.step_size)

    def _epochs(
        self, model: nn.Module, sampler: CellSampler | WeightedSampler, epochs: int, curve: list[dict[str, Any]]
    ) -> None:
        fitting, best = self._config.fitting, math.inf
        optimizer = torch.optim.AdamW(model.parameters(), lr=fitting.learning_rate, weight_decay=fitting.weight_decay)
        steps = math.ceil(len(self._inputs.labels["train"]) / fitting.batch)
        for epoch in range(1, epochs + 1):
            model.train()
            losses = []
            for step in range(steps):
                # Every worker draws the whole batch and takes its share, so that the number of workers changes no draw.
                chosen, augmented = sampler.draw(fitting.batch, np.random.default_rng((self._run.seed, epoch, step)))
                mine = slice(self._worker.rank, None, self._worker.workers)
                loss = self._loss(model, chosen[mine], augmented[mine], (self._run.seed, epoch, step, self._worker.rank))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
            row = {"epoch": epoch, "train_loss": float(np.mean(losses))} | self._validate(model)
            if isinstance(sampler, CellSampler):
                row["weights"] = sampler.weights.tolist()
                sampler.update(np.array(row["cell_losses"]))
            curve.append(row)
            if row["selection_loss"] < best:
                best, self.state = row["selection_loss"], {k: v.detach().clone() for k, v in _inner(model).state_dict().items()}

    def _loss(self, model: nn.Module, chosen: np.ndarray, augmented: np.ndarray, seed: tuple[int, ...]) -> torch.Tensor:
        standard = augmented & (chosen < len(self._inputs.labels["train"]))
        logits = model(self._data.batch(chosen, standard, seed).to(self._device))
        labels = self._labels[chosen].to(self._device)
        loss = F.cross_entropy(logits, labels)
        if self._run.method.mode == "penalty":
            relevancy = self._run.relevancy[chosen].to(self._device)
            rows = [gather_with_gradient(part) for part in (logits, labels, relevancy)]
            method = self._run.method
            loss = loss + method.penalty * correlation_penalty(*rows, parity=method.parity, positive=self._positive)
        return loss

    def _validate(self, model: nn.Module) -> dict[str, Any]:
        """Accuracy and the loss that selects, both on the validation samples; equal on all workers."""
        labels = self._inputs.labels["validation"]
        logits = self._logits(model, "validation")
        # Buffers such as a batch norm's can differ between workers; the draws of the next epoch must not.
        losses = gather_with_gradient(F.cross_entropy(logits, labels, reduction="none")[None].to(self._device)).mean(dim=0)
        losses = losses.cpu().numpy().astype(np.float64)
        row = {"accuracy": float((logits.argmax(dim=1) == labels).float().mean())}
        if self._run.cells is not None:
            by_cell = mean_by(losses, self._run.cells["validation"], self._run.n_cells)
            return row | {"cell_losses": by_cell.tolist(), "selection_loss": float(np.nanmax(by_cell))}
        if self._run.method.mode == "jtt":
            return row | {"selection_loss": float(np.nanmax(mean_by(losses, labels.numpy(), len(self._classes))))}
        return row | {"selection_loss": float(losses.mean())}

    @torch.no_grad()
    def _logits(self, model: nn.Module, split: str) -> torch.Tensor:
        model.eval()
        return torch.cat([_inner(model)(part.to(self._device)).cpu() for part in self._data.parts(split)])

    def _predict(self, model: nn.Module, split: str) -> np.ndarray:
        return self._logits(model, split).argmax(dim=1).numpy()


def _inner(model: nn.Module) -> nn.Module:
    return getattr(model, "module", model)
