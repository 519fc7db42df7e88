"""CLIP-clip: take out the dimensions that tell most about an attribute (Wang et al. 2021, arXiv 2109.05433)."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from cfray.clip.debiasers import ClipClip
from cfray.debias.data import DebiasData

PUBLISHED_SHARE = 400 / 512


def fit_clip_clip(data: DebiasData, *, kept: int | None = None, seed: int = 0) -> ClipClip:
    """Keep the ``kept`` dimensions with the lowest mutual information with the attributes.

    The information between a dimension of the normalised image embeddings and a label is scikit-learn's nearest-neighbour
    estimate (Ross 2014), in nats; with several attributes it is their sum.

    Args:
        data: labelled image embeddings.
        kept: m; 400 of 512 dimensions in the published form, and that share of other dimensions when left out.
        seed: of the estimator's jitter, which breaks ties.

    Raises:
        ValueError: if ``kept`` is not between 1 and the number of dimensions.
    """
    # Takes a second to import, and loading a fitted transform does not need it.
    from sklearn.feature_selection import mutual_info_classif

    dim = data.images.shape[1]
    kept = round(PUBLISHED_SHARE * dim) if kept is None else kept
    if not 1 <= kept <= dim:
        raise ValueError(f"kept={kept} is not between 1 and the {dim} dimensions of the embeddings")
    images = F.normalize(data.images, dim=-1).numpy()
    information = sum(mutual_info_classif(images, labels.numpy(), random_state=seed) for labels in data.labels.values())
    debiaser = ClipClip(data.weights, dim=dim, kept=kept)
    dropped = np.argsort(-np.asarray(information), kind="stable")[: dim - kept]
    debiaser.mask[torch.from_numpy(dropped)] = 0
    return debiaser
