"""Fairness without labels: groups that a CLIP infers take the place of labels (arXiv 2403.10624)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from cfray.clip.model import load_clip
from cfray.config import Config
from cfray.errors import UserError
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.embeddings import Encoder
from cfray.evaluate.images import Gallery
from cfray.evaluate.ranking import Labels
from cfray.evaluate.reading import ReadReport
from cfray.groups import infer_groups, load_attribute
from cfray.metrics import group_agreement


class InferConfig(Config):
    """Where groups come from when not from labels.

    ``model``: the CLIP that infers them, the base or the reference of the run if left out. One model infers for all that are
    measured, so that they are held to the same groups. ``prompts``: attribute prompts, by path or by the name of a file that
    ships with cfray. ``method``: the most similar value (``argmax``) or clusters of the similarities (``kmeans``, ``gmm``), of
    which there are ``n_groups``.
    """

    infer: Literal["clip"]
    model: str | None = None
    prompts: str = "attributes-faces"
    method: Literal["argmax", "kmeans", "gmm"] = "argmax"
    n_groups: int | None = Field(None, ge=2)


@dataclass(frozen=True)
class InferredLabels:
    """Labels that were inferred, and per attribute what a result says about them."""

    labels: Labels
    facts: dict[str, dict[str, Any]]
    """{"model", "method", "agreement"}; agreement with the labels is None where there are none."""


def require_inferable(config: InferConfig, attributes: Sequence[str], settings: Settings) -> None:
    """UserError if an attribute has no prompts, or no model is named to infer groups."""
    for attribute in attributes:
        load_attribute(config.prompts, attribute)
    _model_of(config, settings)


def infer_labels(
    config: InferConfig, gallery: Gallery, known: Labels, settings: Settings, report: ReadReport, device: torch.device
) -> InferredLabels:
    """Infer the groups of every attribute of ``known``, whose labels are used for nothing but the agreement.

    Agreement is that of ``cfray.metrics.group_agreement`` over the images that have a label, and it is printed.

    Raises:
        UserError: as ``require_inferable``, or if all images end in one group.
    """
    name = _model_of(config, settings)
    clip = load_clip(name)
    clip.model.to(device)
    encoder = Encoder(clip, settings)
    images = encoder.images(gallery)
    labels: dict[str, list[str | None]] = {}
    facts: dict[str, dict[str, Any]] = {}
    for attribute, true in known.items():
        prompts = load_attribute(config.prompts, attribute)
        texts = encoder.texts(prompts.flat).reshape(len(prompts.values), -1, images.vectors.shape[1])
        inferred = infer_groups(
            images.vectors, texts, prompts.values, method=config.method, n_groups=config.n_groups, seed=settings.seed
        )
        found = np.full(len(gallery), None, dtype=object)
        found[images.readable] = np.array(inferred.names, dtype=object)[inferred.groups]
        labels[attribute] = found.tolist()
        facts[attribute] = {"model": name, "method": config.method, "agreement": _agreement(found, true)}
        words = _words(facts[attribute]["agreement"])
        report.facts[f"{attribute} inferred by {name}"] = words
        print(f"[{report.benchmark}] {attribute} inferred by {name} ({config.method}): {words}", flush=True)
    return InferredLabels(labels, facts)


def _agreement(inferred: np.ndarray, true: Sequence[str | None]) -> dict[str, float] | None:
    both = np.array([a is not None and b is not None for a, b in zip(inferred, true, strict=True)])
    _, true_ids = np.unique(np.array([label or "" for label in true])[both], return_inverse=True)
    if len(np.unique(true_ids)) < 2:
        return None
    _, ids = np.unique(inferred[both].astype(str), return_inverse=True)
    return group_agreement(ids, true_ids).to_dict()


def _words(agreement: dict[str, float] | None) -> str:
    if agreement is None:
        return "no labels to compare with"
    return "agreement with labels: " + ", ".join(f"{key.replace('_', ' ')} {value:.3f}" for key, value in agreement.items())


def _model_of(config: InferConfig, settings: Settings) -> str:
    name = config.model or settings.base
    if name is None:
        raise UserError("groups: infer: clip needs a model; give groups.model=...")
    return name
