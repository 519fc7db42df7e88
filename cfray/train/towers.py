"""The CLIP as the training loop sees it: both towers in one forward, what of it trains, and how it computes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from cfray.errors import UserError
from cfray.train.config import ComputeConfig, TrainConfig
from cfray.train.grad_cache import Features
from cfray.train.lora import add_lora
from cfray.train.objective import what_is_read

_IMAGE = "visual."
_SCALARS = ("logit_scale", "logit_bias")


class Towers(nn.Module):
    """Normalised image features (n, d), text features (m, d), exp(logit_scale) and the logit bias, in one forward as DDP wants.

    Batch normalisation uses its stored statistics in training too: those of a batch would depend on how it is cut among
    workers and chunks.

    Args:
        clip: open_clip's model.
        compute: how towers compute; features come out in float32.
        logit_bias: where to begin a bias for a model that has none; None if the loss needs no bias.
    """

    def __init__(self, clip: nn.Module, compute: ComputeConfig, logit_bias: float | None = None):
        super().__init__()
        self.clip = clip
        self._autocast = compute.precision == "bf16"
        self._format = torch.channels_last if compute.channels_last else torch.contiguous_format
        own = getattr(clip, "logit_bias", None) is None and logit_bias is not None
        self.logit_bias = nn.Parameter(torch.tensor(float(logit_bias))) if own else None

    def forward(self, images: torch.Tensor, ids: torch.Tensor) -> Features:
        # The autocast region is this call's own: a cast of a weight made without a graph must not serve one with a graph.
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._autocast):
            image_features = self.clip.encode_image(images.contiguous(memory_format=self._format))
            text_features = self.clip.encode_text(ids)
        bias = self.logit_bias if self.logit_bias is not None else getattr(self.clip, "logit_bias", None)
        scale = self.clip.logit_scale.exp()
        return (
            F.normalize(image_features.float(), dim=-1),
            F.normalize(text_features.float(), dim=-1),
            scale,
            torch.zeros_like(scale) if bias is None else bias,
        )

    def train(self, mode: bool = True) -> Towers:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self


def choose_trainable(model: nn.Module, config: TrainConfig) -> None:
    """Freeze what ``trainable`` and ``locked`` leave out and what no loss reads; adds the updates of ``trainable=lora``.

    Weight decay would move a weight that no loss reads: its gradient is zero and not missing wherever workers or chunks
    exchange gradients.

    Raises:
        UserError: if a locked prefix is no parameter's, or nothing is left to train.
    """
    names = [name for name, _ in model.named_parameters()]
    for prefix in config.locked:
        if not any(name.startswith(prefix) for name in names):
            begins = sorted({name.partition(".")[0] for name in names})
            raise UserError(
                f"locked={prefix!r} begins no parameter's name of {config.model!r}; names begin with {', '.join(begins)}"
            )
    towers = config.lora.towers if config.trainable == "lora" else config.trainable
    read = what_is_read(config)
    scalars = {"logit_scale": read.scale, "logit_bias": read.bias}

    def takes(name: str) -> bool:
        tower = "image" if name.startswith(_IMAGE) else "text"
        is_read = tower == "image" or scalars.get(name, read.texts)
        return is_read and towers in ("both", tower) and not any(name.startswith(prefix) for prefix in config.locked)

    if config.trainable == "lora":
        add_lora(model, rank=config.lora.rank, alpha=config.lora.alpha, takes=takes)
    else:
        for name, parameter in model.named_parameters():
            # A parameter that the model's maker froze stays frozen.
            parameter.requires_grad_(parameter.requires_grad and takes(name))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError(
            f"trainable={config.trainable} with locked={config.locked} leaves no parameter to train that the loss reads"
        )


def valid_indexes(model: nn.Module) -> dict[str, bool]:
    """Whether an index of texts or of images made with the original model stays valid: nothing of that tower trains."""
    training = [name for name, p in model.named_parameters() if p.requires_grad and name not in _SCALARS]
    of_image = [name.startswith(_IMAGE) for name in training]
    return {"text": all(of_image), "image": not any(of_image)}


def prepare_compute(model: nn.Module, compute: ComputeConfig) -> None:
    """Switch on what ``compute`` asks of the model itself."""
    if compute.tf32:
        torch.set_float32_matmul_precision("high")
    if compute.gradient_checkpointing:
        model.set_grad_checkpointing(True)
    if compute.channels_last:
        model.visual.to(memory_format=torch.channels_last)
    if compute.compile:
        # In place, so that names of parameters stay. The text tower is a module of its own, or a transformer.
        model.visual.compile()
        (model.text if hasattr(model, "text") else model.transformer).compile()


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Trainable parameters with weight decay on matrices only; gains, biases and the logit scale have none (as in CLIP)."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
