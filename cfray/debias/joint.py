"""Joint vision-language debiasing (arXiv 2411.12785) of a frozen CLIP: the networks of its two forms."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from cfray.debias.transform import Debiaser


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
