"""The closed form of arXiv 2603.12998: shorten the part of an embedding that lies in the attribute's subspace."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from cfray.clip.debiasers import ClosedForm
from cfray.debias.data import DebiasData


def attribute_basis(prototypes: list[torch.Tensor]) -> torch.Tensor:
    """Orthonormal basis (d, r) of the span of {p_a - p_1} over attributes, each with prototypes (values, d)."""
    differences = torch.cat([group[1:] - group[:1] for group in prototypes]).double()
    _, singular, directions = torch.linalg.svd(differences, full_matrices=False)
    return directions[singular > 1e-6 * singular[0]].T


def fit_closed_form(data: DebiasData) -> ClosedForm:
    """Fit on the texts alone; p_a is the spherical mean of the text variants of value a: their mean, normalised."""
    prototypes = [F.normalize(F.normalize(texts, dim=-1).mean(dim=1), dim=-1) for texts in data.explicit.values()]
    basis = attribute_basis(prototypes)
    debiaser = ClosedForm(data.weights, dim=basis.shape[0], rank=basis.shape[1])
    debiaser.basis.copy_(basis)
    return debiaser
