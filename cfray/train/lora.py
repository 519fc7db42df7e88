"""LoRA (arXiv 2106.09685) as a parametrization of the weights themselves.

The layers stay what they are (nn.MultiheadAttention, timm and transformers layers among them), and a weight reads as
W + alpha / rank * B A wherever it is used: what is trained is what is exported, without a layer to merge or unwrap.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils import parametrize

_PART = ".parametrizations."


class LowRank(nn.Module):
    """Adds alpha / rank * B A to a weight (out, in). B begins at zero, so that the model begins as it was."""

    def __init__(self, weight: torch.Tensor, rank: int, alpha: float):
        super().__init__()
        self.a = nn.Parameter(torch.empty(rank, weight.shape[1]))
        self.b = nn.Parameter(torch.zeros(weight.shape[0], rank))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))
        self._scale = alpha / rank

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + self._scale * (self.b @ self.a)


def add_lora(model: nn.Module, *, rank: int, alpha: float, takes: Callable[[str], bool]) -> list[str]:
    """Freeze ``model`` and add trainable low-rank updates to its linear maps; returns the names of the weights.

    Linear maps are the weights of nn.Linear and the input projection of nn.MultiheadAttention.

    Args:
        takes: whether a weight of that name gets an update.
    """
    model.requires_grad_(False)
    found = []
    for path, module in list(model.named_modules()):
        names = ["weight"] if isinstance(module, nn.Linear) else []
        if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
            names = ["in_proj_weight"]
        for name in names:
            if takes(f"{path}.{name}"):
                parametrize.register_parametrization(module, name, LowRank(getattr(module, name), rank, alpha))
                found.append(f"{path}.{name}")
    return found


def merged_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state dict of the model as it was built, with its updates added to the weights; without LoRA its own state dict."""
    state = {}
    for key, value in model.state_dict().items():
        path, part, rest = key.partition(_PART)
        if not part:
            state[key] = value
        elif rest.endswith(".original"):
            name = rest.removesuffix(".original")
            state[f"{path}.{name}"] = getattr(model.get_submodule(path), name).detach()
    return state
