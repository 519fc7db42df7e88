"""What training reads: labels, groups by their kind, frozen features, extras for augmentation; computed once for all runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from cfray import storage
from cfray.clip.embed import embed_images
from cfray.clip.model import ClipModel, load_clip
from cfray.errors import UserError
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.embeddings import Encoder
from cfray.evaluate.images import decode
from cfray.groups.augmentation import SOURCES, counterfactual_images, sources_of
from cfray.groups.cells import cell_ids, weak_cells
from cfray.groups.classifier import standard_augmentation
from cfray.groups.clusters import AppearanceClusters, InferredGroups, concept_directions, require_groups
from cfray.groups.config import ClassifyConfig, LinearBackbone
from cfray.groups.infer import PromptGroups, combine_groups, wording_sensitivity
from cfray.groups.prompts import load_attribute
from cfray.groups.samples import SPLITS, Samples, read_samples, without_unreadable
from cfray.metrics import group_agreement

FILE = "inputs.safetensors"
Grouping = Callable[[np.ndarray], InferredGroups]


@dataclass
class Inputs:
    """Tensors by split (train, validation, test) and by kind of groups (inferred; true with ``oracle``).

    ``rows`` are the samples that could be decoded, among those read. ``relevancy`` is (n, G). Extras are more inputs for weak
    cells of the training samples, augmented views or counterfactuals, with their class, their group by kind (-1 for none) and
    their source, an index of ``SOURCES``.
    """

    rows: dict[str, torch.Tensor] = field(default_factory=dict)
    labels: dict[str, torch.Tensor] = field(default_factory=dict)
    groups: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    relevancy: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    features: dict[str, torch.Tensor] = field(default_factory=dict)
    extra_labels: torch.Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    extra_groups: dict[str, torch.Tensor] = field(default_factory=dict)
    extra_sources: torch.Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))

    def save(self, place: str) -> None:
        flat = {}
        for name, value in vars(self).items():
            flat |= _flatten(name, value)
        storage.write_bytes(place, save_tensors({key: value.contiguous() for key, value in flat.items()}))

    @classmethod
    def load(cls, place: str) -> Inputs:
        fields: dict[str, Any] = {}
        for key, value in load_tensors(storage.read_bytes(place)).items():
            *path, last = key.split("/")
            inside = fields
            for part in path:
                inside = inside.setdefault(part, {})
            inside[last] = value
        return cls(**fields)


def _flatten(name: str, value: Any) -> dict[str, torch.Tensor]:
    if not isinstance(value, dict):
        return {name: value}
    return {key: tensor for inner, part in value.items() for key, tensor in _flatten(f"{name}/{inner}", part).items()}


def prepare(config: ClassifyConfig) -> dict[str, Any]:
    """Write the inputs of all runs to the output folder; returns what the report needs of the test samples and groups.

    Raises:
        UserError: as ``read_samples`` and the inference of groups.
    """
    samples, classes = read_samples(config)
    settings = Settings(cache=config.cache)
    clip = load_clip(config.groups.clip)
    encoder = Encoder(_on_device(clip), settings)
    embedded = {split: encoder.images(samples[split].gallery) for split in SPLITS}
    for split in SPLITS:
        samples[split] = without_unreadable(samples[split], embedded[split].readable, split)
    vectors = {split: embedded[split].vectors for split in SPLITS}
    model, facts = fit_groups(config, encoder, vectors["train"], samples["train"].labels)
    inferred = {split: model(vectors[split]) for split in SPLITS}
    require_groups(inferred["train"], config.groups.method, "these groups tell nothing apart: change groups.method or prompts")
    test_groups, test_names = _measured_groups(inferred["test"], samples["test"].groups)
    require_filled(samples["test"].labels, test_groups, classes, test_names)
    inputs = Inputs(
        rows={split: torch.from_numpy(np.flatnonzero(embedded[split].readable)) for split in SPLITS},
        labels={split: torch.from_numpy(samples[split].labels) for split in SPLITS},
    )
    _add_groups(inputs, "inferred", inferred)
    if config.oracle:
        _add_groups(inputs, "true", _true_groups(samples))
    features = clip
    if isinstance(config.backbone, LinearBackbone):
        if config.backbone.clip != config.groups.clip:
            features = _on_device(load_clip(config.backbone.clip))
            other = Encoder(features, settings)
            vectors = {split: other.images(samples[split].gallery).vectors for split in SPLITS}
        inputs.features = {split: torch.from_numpy(np.array(vectors[split])) for split in SPLITS}
    _add_extras(config, inputs, samples["train"], classes, features, clip, model)
    inputs.save(storage.join(config.output, FILE))
    return {
        "classes": classes, "groups": list(inferred["train"].names), **facts,
        "cells": count_cells(inferred["train"], samples["train"].labels, classes),
        "test_labels": samples["test"].labels, "test_groups": test_groups, "test_names": test_names,
        "measured_by": "inferred groups" if samples["test"].groups is None else "true groups",
        "agreement": _agreement(inferred["test"], samples["test"].groups),
        "confidence": float(inferred["train"].confidence.mean()),
    }  # fmt: skip


def fit_groups(
    config: ClassifyConfig, encoder: Encoder, images: np.ndarray, labels: np.ndarray
) -> tuple[Grouping, dict[str, Any]]:
    """A function from embeddings to their groups, fitted on the training images, and facts about it for the report."""
    groups = config.groups
    if groups.prompts is None:
        clusters = AppearanceClusters(images, concept_directions(images, labels), n_groups=groups.n_groups)
        return clusters.infer, {"wording": {}}
    fitted, wording = [], {}
    for attribute in groups.attributes:
        prompts = load_attribute(groups.prompts, attribute)
        texts = encoder.texts(prompts.flat).reshape(len(prompts.values), -1, images.shape[1])
        settings = {"method": groups.method, "n_groups": groups.n_groups}
        fitted.append(PromptGroups(images, texts, prompts.values, **settings))
        wording[attribute] = wording_sensitivity(images, texts, prompts.values, **settings).to_dict()
    names = combine_groups(*(part.infer(images) for part in fitted)).names
    return lambda vectors: combine_groups(*(part.infer(vectors) for part in fitted), names=names), {"wording": wording}


def _add_groups(inputs: Inputs, kind: str, found: dict[str, InferredGroups]) -> None:
    inputs.groups[kind] = {split: torch.from_numpy(found[split].groups) for split in found}
    inputs.relevancy[kind] = {split: torch.from_numpy(found[split].relevancy).float() for split in found}


def _true_groups(samples: dict[str, Samples]) -> dict[str, InferredGroups]:
    """The true groups of train and validation in the form of inferred ones."""
    for split in ("train", "validation"):
        if samples[split].groups is None:
            raise UserError(f"oracle=true needs {split}.group_column, the column that holds the true groups")
    names = tuple(sorted(set(samples["train"].groups) | set(samples["validation"].groups)))
    return {
        split: InferredGroups(ids := np.array([names.index(g) for g in samples[split].groups]), np.eye(len(names))[ids], names)
        for split in ("train", "validation")
    }


def _add_extras(
    config: ClassifyConfig, inputs: Inputs, train: Samples, classes: list[str], features: ClipModel, clip: ClipModel,
    model: Grouping,
) -> None:  # fmt: skip
    """Views of weak cells' images (frozen features only; other backbones augment as they load), and counterfactuals."""
    wanted, frozen = sources_of(config), bool(inputs.features)
    labels, sources, vectors = [], [], []
    groups: dict[str, list[np.ndarray]] = {kind: [] for kind in inputs.groups}
    if "standard" in wanted and frozen:
        rows = np.repeat(_weak_rows(inputs), config.fitting.views)
        torch.manual_seed(0)  # torchvision draws its augmentations from the global generator
        augment, pictures = standard_augmentation(), train.gallery.pictures
        vectors.append(_embed(features, (augment(decode(pictures[i].read(), pictures[i].box)) for i in rows)))
        labels.append(train.labels[rows])
        sources.append(np.full(len(rows), SOURCES.index("standard")))
        for kind, parts in groups.items():
            parts.append(inputs.groups[kind]["train"].numpy()[rows])
    if "counterfactuals" in wanted:
        images, own = counterfactual_images(config.counterfactuals, classes)
        seen = _embed(clip, map(decode, images))
        labels.append(own)
        sources.append(np.full(len(own), SOURCES.index("counterfactuals")))
        groups["inferred"].append(model(seen.numpy()).groups)
        if "true" in groups:
            groups["true"].append(np.full(len(own), -1))
        if frozen:
            vectors.append(seen if features is clip else _embed(features, map(decode, images)))
    if labels:
        inputs.extra_labels = torch.from_numpy(np.concatenate(labels))
        inputs.extra_sources = torch.from_numpy(np.concatenate(sources))
        inputs.extra_groups = {kind: torch.from_numpy(np.concatenate(parts)) for kind, parts in groups.items()}
    if frozen and vectors:
        inputs.features["extras"] = torch.cat(vectors)


def _weak_rows(inputs: Inputs) -> np.ndarray:
    """Training samples in a weak cell of any kind of groups."""
    labels, weak = inputs.labels["train"].numpy(), np.zeros(len(inputs.labels["train"]), bool)
    for kind, splits in inputs.groups.items():
        cells = cell_ids(labels, splits["train"].numpy(), inputs.relevancy[kind]["train"].shape[1])
        weak |= weak_cells(np.bincount(cells))[cells]
    return np.flatnonzero(weak)


def _embed(clip: ClipModel, images: Iterable[Image.Image], *, batch: int = 256) -> torch.Tensor:
    """L2-normalised embeddings (n, d)."""
    parts, images = [], iter(images)
    while inputs := [clip.preprocess(image) for image in islice(images, batch)]:
        parts.append(embed_images(clip, torch.stack(inputs)))
    return torch.cat(parts)


def _measured_groups(inferred: InferredGroups, true: np.ndarray | None) -> tuple[np.ndarray, list[str]]:
    """Groups of the test samples and their names: the true ones where they are known."""
    if true is None:
        return inferred.groups, list(inferred.names)
    names, groups = np.unique(true, return_inverse=True)
    return groups, names.tolist()


def require_filled(labels: np.ndarray, groups: np.ndarray, classes: list[str], names: list[str]) -> None:
    """Every cell of the test samples must have one: rates in an empty cell are not defined."""
    table = np.bincount(cell_ids(labels, groups, len(names)), minlength=len(classes) * len(names)).reshape(len(classes), -1)
    if len(names) < 2:
        raise UserError(f"all test samples are in one group, {names[0]!r}; fairness needs two")
    for row, column in np.argwhere(table == 0):
        raise UserError(f"class {classes[row]!r} has no test sample of group {names[column]!r}; add one")


def count_cells(found: InferredGroups, labels: np.ndarray, classes: list[str]) -> dict[str, dict[str, int]]:
    """How many training samples each cell has; an empty one is told, because nothing can be drawn from it."""
    sizes = np.bincount(cell_ids(labels, found.groups, len(found.names)), minlength=len(classes) * len(found.names))
    table = sizes.reshape(len(classes), -1)
    for row, column in np.argwhere(table == 0):
        print(f"[classify] warning: class {classes[row]!r} has no training sample of group {found.names[column]!r}; its cell "
              "stays empty, and what the classifier does there is not controlled", flush=True)  # fmt: skip
    return {name: dict(zip(found.names, table[row].tolist(), strict=True)) for row, name in enumerate(classes)}


def _agreement(inferred: InferredGroups, true: np.ndarray | None) -> dict[str, float] | None:
    if true is None or len(set(true)) < 2:
        return None
    return group_agreement(inferred.groups, np.unique(true, return_inverse=True)[1]).to_dict()


def _on_device(clip: ClipModel) -> ClipModel:
    clip.model.to("cuda" if torch.cuda.is_available() else "cpu")
    return clip
