"""What every debiasing method is: a transform of a frozen CLIP's embeddings. How each is fitted is in ``cfray.debias``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F


class Debiaser(nn.Module, ABC):
    """A transform of image and text embeddings.

    Methods define ``_image`` and ``_text``, the transform at full strength: (n, d) to (n, d), un-normalised in and out.
    Strength s gives (1 - s) * x + s * f(x), so 0 is the identity bit for bit and 1 the method itself.

    Attributes:
        weights: hash of the CLIP weights it was fitted on, see ``weights_hash``.
        settings: what the constructor needs to build it again, plain data.
    """

    method: ClassVar[str]

    def __init__(self, weights: str, **settings: Any):
        super().__init__()
        self.weights, self.settings = weights, settings

    @abstractmethod
    def _image(self, x: torch.Tensor) -> torch.Tensor: ...

    @abstractmethod
    def _text(self, x: torch.Tensor) -> torch.Tensor: ...

    def image(self, x: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
        """Debias image embeddings (n, d), un-normalised; the result has the same shape and dtype.

        Raises:
            ValueError: if the strength is outside [0, 1].
        """
        return _mix(x, self._image, strength)

    def text(self, x: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
        """Debias text embeddings (n, d), un-normalised; as ``image``."""
        return _mix(x, self._text, strength)


def _mix(x: torch.Tensor, transform, strength: float) -> torch.Tensor:
    require_strength(strength)
    if strength == 0:
        return x
    # lerp gives its second argument exactly at 1.
    return torch.lerp(x.float(), transform(x.float()), strength).to(x.dtype)


def require_strength(strength: float) -> None:
    """ValueError if the strength is outside [0, 1]."""
    if not 0 <= strength <= 1:
        raise ValueError(f"strength={strength} is outside [0, 1]")


def with_norm_of(x: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """``direction`` (n, d) scaled to the norms of x, so that a raw dot product keeps the weight of each embedding."""
    return F.normalize(direction, dim=-1) * x.norm(dim=-1, keepdim=True)


class PublishedJoint(Debiaser):
    """The published form: one residual network shared by both towers, one more before it for images.

    With MLP(x) = ReLU(W2 ReLU(W1 x + b1) + b2) and sign s,

        text   e_t = x_t + s MLP2(x_t)
        image  e_v = x_v + s MLP2(x_v + MLP1(x_v)).

    The paper writes the bias as subtracted; its released code adds it, which is s = 1. Since an MLP that ends in a ReLU
    gives no negative number, the two are different families.
    """

    method = "joint_published"

    def __init__(self, weights: str, *, dim: int, hidden_image: int, hidden: int, sign: int):
        super().__init__(weights, dim=dim, hidden_image=hidden_image, hidden=hidden, sign=sign)
        self.mlp1, self.mlp2, self.sign = _mlp(dim, hidden_image), _mlp(dim, hidden), sign

    def _image(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.sign * self.mlp2(x + self.mlp1(x))

    def _text(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.sign * self.mlp2(x)


def _mlp(dim: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim), nn.ReLU())


class GatedJoint(Debiaser):
    """The gated form, cfray's default: per attribute a low-rank part of a text, taken out as far as a gate opens.

    For a text x with u = x / |x|, over attributes a,

        e_t = x + |x| sum_a g_a(u) W_a V_a^T u,   g_a(u) = sigmoid(G_a . u / sqrt(1/d) + c_a).

    A gate closes on texts that name its attribute, so "a photo of a woman" keeps its meaning while "a photo of a nurse"
    loses its lean. Images stay as they are: what is taken out of an image is taken out for every text.
    """

    method = "joint"

    def __init__(self, weights: str, *, dim: int, attributes: int, rank: int):
        super().__init__(weights, dim=dim, attributes=attributes, rank=rank)
        self.scale = dim**0.5
        self.read = nn.Parameter(torch.randn(attributes, dim, rank) / self.scale)
        self.write = nn.Parameter(torch.zeros(attributes, rank, dim))
        self.gate = nn.Linear(dim, attributes)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def gates(self, x: torch.Tensor) -> torch.Tensor:
        """How far each attribute is taken out of texts (n, d): (n, attributes) in (0, 1)."""
        return torch.sigmoid(self.gate(F.normalize(x, dim=-1) * self.scale))

    def _image(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def _text(self, x: torch.Tensor) -> torch.Tensor:
        parts = torch.einsum("nd,adr,are->nae", F.normalize(x, dim=-1), self.read, self.write)
        change = (self.gates(x)[:, :, None] * parts).sum(dim=1)
        return x + x.norm(dim=-1, keepdim=True) * change


class ClipClip(Debiaser):
    """Dimensions set to 0 in both towers, which for dot products is the same as leaving them out."""

    method = "clip_clip"

    def __init__(self, weights: str, *, dim: int, kept: int):
        super().__init__(weights, dim=dim, kept=kept)
        self.register_buffer("mask", torch.ones(dim))

    def _image(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.mask

    def _text(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.mask


class BiasedPrompts(Debiaser):
    """Texts become norm(P* z); images stay as they are."""

    method = "biased_prompts"

    def __init__(self, weights: str, *, dim: int, regularisation: float):
        super().__init__(weights, dim=dim, regularisation=regularisation)
        self.register_buffer("projection", torch.eye(dim))

    def _image(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def _text(self, x: torch.Tensor) -> torch.Tensor:
        return with_norm_of(x, F.normalize(x, dim=-1) @ self.projection.T)


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


METHODS: dict[str, type[Debiaser]] = {
    kind.method: kind for kind in (GatedJoint, PublishedJoint, ClipClip, BiasedPrompts, ClosedForm)
}
