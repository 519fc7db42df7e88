"""Embeds pictures and texts with a CLIP, in batches, without gradient."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from PIL import Image
from torch.nn import functional as F

from cfray.clip.model import ClipModel


def preprocess_pictures(clip: ClipModel, pictures: Iterable) -> torch.Tensor:
    """uint8 pictures (h, w, 3) to the model's inputs, float32 (n, 3, H, W)."""
    return torch.stack([clip.preprocess(Image.fromarray(picture)) for picture in pictures])


@torch.inference_mode()
def embed_images(clip: ClipModel, inputs: torch.Tensor, *, batch: int = 256) -> torch.Tensor:
    """L2-normalised embeddings, float32 (n, d), of preprocessed pictures (n, 3, H, W)."""
    device = next(clip.model.parameters()).device
    return torch.cat(
        [F.normalize(clip.model.encode_image(part.to(device)).float(), dim=-1).cpu() for part in inputs.split(batch)]
    )


@torch.inference_mode()
def embed_texts(clip: ClipModel, texts: list[str], *, batch: int = 256) -> torch.Tensor:
    """L2-normalised embeddings, float32 (n, d), of texts."""
    device = next(clip.model.parameters()).device
    ids = clip.tokenize(texts)
    return torch.cat([F.normalize(clip.model.encode_text(part.to(device)).float(), dim=-1).cpu() for part in ids.split(batch)])
