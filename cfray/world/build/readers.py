"""Trains the small image classifiers: the readers of skin tone and gender presentation, and the profession classifier."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional as F
from transformers import ConvNextImageProcessor, ResNetConfig, ResNetForImageClassification

from cfray.world.build.loop import draw, fit, mixed_precision, to_float
from cfray.world.canvas import SIZE


def new_reader(classes: list[str]) -> ResNetForImageClassification:
    return ResNetForImageClassification(
        ResNetConfig(
            embedding_size=24, hidden_sizes=[24, 48, 72], depths=[1, 1, 1], layer_type="basic", downsample_in_first_stage=False,
            id2label=dict(enumerate(classes)), label2id={name: i for i, name in enumerate(classes)},
        )
    )  # fmt: skip


def new_reader_processor() -> ConvNextImageProcessor:
    # crop_pct does nothing at sizes of 384 and more and crops below; 1.0 keeps the whole picture at every size.
    return ConvNextImageProcessor(
        do_resize=True, size={"shortest_edge": SIZE}, crop_pct=1.0, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )


def train_reader(
    name: str, pictures: torch.Tensor, targets: torch.Tensor, classes: list[str], work: Path, *, steps: int, batch: int = 64
) -> ResNetForImageClassification:
    """Train on uint8 pictures (n, 64, 64, 3) with class indices (n,); pictures are shifted a little and given noise."""
    torch.manual_seed(14)
    model = new_reader(classes)

    def step_loss(step: int, generator: torch.Generator) -> torch.Tensor:
        chosen = draw(pictures, batch, generator)
        inputs = to_float(pictures[chosen])
        dx, dy = (int(v) - 3 for v in torch.randint(7, (2,), generator=generator))
        inputs = inputs.roll((dy, dx), dims=(2, 3)) + 0.04 * torch.randn(inputs.shape, generator=generator)
        with mixed_precision():
            logits = model(inputs).logits
        return F.cross_entropy(logits.float(), targets[chosen], label_smoothing=0.02)

    return fit(name, model, step_loss, work=work, steps=steps, lr=3e-3, ema_decay=0.99)


@torch.no_grad()
def read(model: ResNetForImageClassification, pictures: torch.Tensor) -> torch.Tensor:
    """The most likely class of each uint8 picture (n, 64, 64, 3), int64 (n,)."""
    return torch.cat([model(to_float(part)).logits.argmax(dim=1) for part in pictures.split(128)])
