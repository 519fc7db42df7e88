"""Trains the SegFormer that finds people's hair, face, arms and clothes; its label names are the ATR clothes parser's."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional as F
from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

from cfray.world.build.loop import draw, fit, mixed_precision
from cfray.world.canvas import SIZE, Label

# SegformerImageProcessor's own defaults, written out because training must see what inference will see.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def new_parser() -> SegformerForSemanticSegmentation:
    return SegformerForSemanticSegmentation(
        SegformerConfig(
            num_encoder_blocks=3, depths=[1, 1, 1], sr_ratios=[4, 2, 1], hidden_sizes=[24, 48, 96], patch_sizes=[3, 3, 3],
            strides=[2, 2, 2], num_attention_heads=[1, 2, 4], mlp_ratios=[2, 2, 2], decoder_hidden_size=64,
            id2label={int(label): label.title for label in Label}, label2id={label.title: int(label) for label in Label},
        )
    )  # fmt: skip


def new_parser_processor() -> SegformerImageProcessor:
    return SegformerImageProcessor(
        do_resize=True, size={"height": SIZE, "width": SIZE}, image_mean=list(MEAN), image_std=list(STD)
    )


def normalise(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 (n, 64, 64, 3) to the parser's float inputs (n, 3, 64, 64)."""
    scaled = pictures.permute(0, 3, 1, 2).float() / 255
    return (scaled - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def train_parser(
    pictures: torch.Tensor, label_maps: torch.Tensor, work: Path, *, steps: int, batch: int = 32
) -> SegformerForSemanticSegmentation:
    """Train on uint8 pictures (n, 64, 64, 3) and label maps (n, 64, 64)."""
    torch.manual_seed(13)
    model = new_parser()

    def step_loss(step: int, generator: torch.Generator) -> torch.Tensor:
        chosen = draw(pictures, batch, generator)
        with mixed_precision():
            logits = model(normalise(pictures[chosen])).logits
        full = F.interpolate(logits.float(), size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        return F.cross_entropy(full, label_maps[chosen].long())

    return fit("parser", model, step_loss, work=work, steps=steps, lr=2e-3, ema_decay=0.99)


@torch.no_grad()
def mask_iou(
    model: SegformerForSemanticSegmentation, pictures: torch.Tensor, label_maps: torch.Tensor, labels: tuple[int, ...]
) -> float:
    """Intersection over union of the region of ``labels``, over all pixels of the pictures."""
    wanted = torch.tensor(labels)
    predicted = torch.cat(
        [
            F.interpolate(model(normalise(part)).logits, size=(SIZE, SIZE), mode="bilinear", align_corners=False).argmax(dim=1)
            for part in pictures.split(64)
        ]
    )
    ours, truth = torch.isin(predicted, wanted), torch.isin(label_maps.long(), wanted)
    return float((ours & truth).sum() / (ours | truth).sum())
