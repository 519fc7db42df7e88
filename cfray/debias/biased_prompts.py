"""Biased prompts: a calibrated projection of the text embeddings (Chuang et al. 2023, arXiv 2302.00070)."""

from __future__ import annotations

from itertools import combinations

import torch
from torch.nn import functional as F

from cfray.clip.debiasers import BiasedPrompts
from cfray.debias.data import DebiasData


def calibrated_projection(prompts: torch.Tensor, pairs: torch.Tensor, regularisation: float) -> torch.Tensor:
    """P* = P0 (I + lambda M)^-1, with P0 = I - V (V^T V)^-1 V^T and M the mean of (z_i - z_j)(z_i - z_j)^T.

    Args:
        prompts: (p, d) normalised embeddings of prompts that name an attribute value; the columns of V.
        pairs: (m, d) differences z_i - z_j of normalised embeddings of texts that differ in the attribute only.
        regularisation: lambda.

    Returns:
        (d, d) float64. V (V^T V)^-1 V^T is taken by the pseudo-inverse, so prompts may depend on one another.
    """
    prompts, pairs = prompts.double(), pairs.double()
    identity = torch.eye(prompts.shape[1], dtype=torch.float64)
    orthogonal = identity - torch.linalg.pinv(prompts) @ prompts
    calibration = identity + regularisation * (pairs.T @ pairs) / len(pairs)
    return orthogonal @ torch.linalg.inv(calibration)


def fit_biased_prompts(data: DebiasData, *, regularisation: float = 1000.0) -> BiasedPrompts:
    """Fit on the texts alone: one prompt per attribute value, and pairs of texts about the same noun.

    Args:
        data: ``explicit`` gives the prompts (the first template of each value), ``pairs`` the pairs.
        regularisation: lambda, 1000 as published.
    """
    prompts = torch.cat([F.normalize(texts[:, 0], dim=-1) for texts in data.explicit.values()])
    differences = []
    for texts in data.pairs.values():
        unit = F.normalize(texts, dim=-1)
        differences += [unit[i] - unit[j] for i, j in combinations(range(len(unit)), 2)]
    debiaser = BiasedPrompts(data.weights, dim=data.images.shape[1], regularisation=regularisation)
    debiaser.projection.copy_(calibrated_projection(prompts, torch.cat(differences), regularisation))
    return debiaser
