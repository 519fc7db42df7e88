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


# Autocast takes twice the time in inference mode, where it casts the weights for every operator.
@torch.no_grad()
def embed_images(clip: ClipModel, inputs: torch.Tensor, *, batch: int = 256, precision: str = "fp32") -> torch.Tensor:
    """L2-normalised embeddings, float32 (n, d), of preprocessed pictures (n, 3, H, W).

    ``precision`` "bf16" multiplies matrices in bfloat16 (autocast).
    """
    device = next(clip.model.parameters()).device
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        return torch.cat(
            [F.normalize(clip.model.encode_image(part.to(device)).float(), dim=-1).cpu() for part in inputs.split(batch)]
        )


@torch.inference_mode()
def embed_texts(clip: ClipModel, texts: list[str], *, batch: int = 256) -> torch.Tensor:
    """L2-normalised embeddings, float32 (n, d), of texts."""
    device = next(clip.model.parameters()).device
    ids = clip.tokenize(texts)
    return torch.cat([F.normalize(clip.model.encode_text(part.to(device)).float(), dim=-1).cpu() for part in ids.split(batch)])


class TextEmbeddings:
    """Embeds texts for weights that change, each text once for as long as only the image tower does.

    Along alpha of a CLIP whose image tower alone was trained, no text is embedded twice.
    """

    def __init__(self) -> None:
        self._weights: dict[str, torch.Tensor] = {}
        self._kept: dict[str, torch.Tensor] = {}

    def embed(self, clip: ClipModel, texts: list[str]) -> torch.Tensor:
        """``embed_texts`` with the weights that ``clip`` has now."""
        # Also of a debiased model, whose CLIP is a part of it and whose strength is in its state.
        weights = {key: value for key, value in clip.model.state_dict().items() if ".visual." not in f".{key}"}
        if not _equal(weights, self._weights):
            self._weights, self._kept = {key: value.clone() for key, value in weights.items()}, {}
        missing = [text for text in dict.fromkeys(texts) if text not in self._kept]
        if missing:
            self._kept |= zip(missing, embed_texts(clip, missing), strict=True)
        return torch.stack([self._kept[text] for text in texts])


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())
