"""The closed form of arXiv 2603.12998: shorten the part of an embedding that lies in the attribute's subspace."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from cfray.debias.data import DebiasData
from cfray.debias.transform import Debiaser, with_norm_of


class ClosedForm(Debiaser):
    """The same transform in both towers, since both share the space."""

    method = "closed_form"

    def __init__(self, weights: str, *, dim: int, rank: int):
        super().__init__(weights, dim=dim, rank=rank)
        self.register_buffer("basis", torch.zeros(dim, rank))

    def _image(self, x: torch.Tensor) -> torch.Tensor:
        return with_norm_of(x, balanced_direction(F.normalize(x, dim=-1), self.basis))

    def _text(self, x: torch.Tensor) -> torch.Tensor:
        return self._image(x)


def balanced_direction(e: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """u = a e_par/n_par + sqrt(1 - a^2) e_orth/n_orth, the point where bias and utility loss are shortened alike.

    With unit e = e_par + e_orth, n_par and n_orth their norms and E = n_par + (1 - n_orth)/n_par,

        a = (E - n_orth sqrt(E^2 - n_par^2)) / (E^2 + n_orth^2),

    which solves a / n_par = (1 - u.e) / (1 - n_orth): the bias that is left, as a share of the bias there was, equals
    the utility lost, as a share of what a full projection would lose.

    Args:
        e: (n, d) unit embeddings.
        basis: (d, r) orthonormal basis A of the attribute's subspace.

    Returns:
        (n, d) unit embeddings; an embedding with no part in the subspace, or none outside it, stays as it is.
    """
    parallel = e @ basis @ basis.T
    orthogonal = e - parallel
    n_par, n_orth = parallel.norm(dim=-1, keepdim=True), orthogonal.norm(dim=-1, keepdim=True)
    fixed = (n_par < 1e-6) | (n_orth < 1e-6)
    n_par, n_orth = n_par.masked_fill(fixed, 1.0), n_orth.masked_fill(fixed, 1.0)
    total = n_par + (1 - n_orth) / n_par
    share = (total - n_orth * (total.square() - n_par.square()).clamp(min=0).sqrt()) / (total.square() + n_orth.square())
    u = share * parallel / n_par + (1 - share.square()).clamp(min=0).sqrt() * orthogonal / n_orth
    return torch.where(fixed, e, u)


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
