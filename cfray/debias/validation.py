"""ABLE of a state of a fit, on pictures that the fit does not see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cfray.clip.debiasers import Debiaser
from cfray.debias.cache import EmbeddingCache
from cfray.debias.config import ReferenceConfig
from cfray.debias.data import DebiasData
from cfray.debias.faces import read_labelled_table
from cfray.debias.texts import with_article
from cfray.metrics import able, class_prototypes, rank_fairness, similarity, zero_shot_accuracy

TOP_SHARE = 0.1
"""k as a share of the held-out faces, about that of k = 1000 on the faces of FairFace's validation split."""


@dataclass
class Reference:
    """A zero-shot task: embeddings of pictures (n, d), of prompts (classes, templates, d), and the class of each picture."""

    images: torch.Tensor
    prompts: torch.Tensor
    labels: np.ndarray


def embed_reference(cache: EmbeddingCache, config: ReferenceConfig) -> Reference:
    """Embed the pictures and class names of a reference task.

    Raises:
        UserError: as ``read_labelled_table``.
    """
    pictures = read_labelled_table(config.table, [config.label], where=config.where)
    classes, labels = np.unique(pictures.labels[config.label], return_inverse=True)
    prompts = [template.format(with_article(str(name))) for name in classes for template in config.templates]
    embedded = cache.texts(prompts).reshape(len(classes), len(config.templates), -1)
    return Reference(cache.images(pictures.pictures), embedded, labels)


def split_held_out(data: DebiasData, share: float, seed: int) -> tuple[DebiasData, DebiasData]:
    """Data to fit on and data held out; counterfactuals of one set stay together."""
    generator = torch.Generator().manual_seed(seed)
    unit = torch.arange(len(data.images)) if data.sets is None else torch.unique(data.sets, return_inverse=True)[1]
    held_out = torch.rand(int(unit.max()) + 1, generator=generator)[unit] < share
    return data.subset((~held_out).nonzero().squeeze(1)), data.subset(held_out.nonzero().squeeze(1))


@torch.inference_mode()
def validation_able(debiaser: Debiaser, faces: DebiasData, reference: Reference) -> float:
    """ABLE from the reference's zero-shot accuracy and MaxSkew (uniform) of neutral texts over held-out faces.

    MaxSkew is the mean over texts and attributes, at k = a tenth of the faces.
    """
    queries, gallery = debiaser.text(faces.neutral), debiaser.image(faces.images)
    scores, k = similarity(queries, gallery), max(1, round(TOP_SHARE * len(gallery)))
    skews = [
        rank_fairness(scores, labels.numpy(), k=k, n_floor=0, n_bootstrap=0).mean["max_skew"].value
        for labels in faces.labels.values()
    ]
    classes, templates, dim = reference.prompts.shape
    prompts = debiaser.text(reference.prompts.reshape(-1, dim)).reshape(classes, templates, dim)
    accuracy = zero_shot_accuracy(debiaser.image(reference.images), class_prototypes(prompts.numpy()), reference.labels)
    return able(accuracy, float(np.mean(skews)))
