"""Embeddings computed once and kept: one safetensors file per part, named by the model's weights and by the data."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from cfray import storage
from cfray.clip.debiased import weights_hash
from cfray.clip.model import ClipModel
from cfray.errors import UserError

PART = 2048
"""Inputs per file: what an interrupted run can lose."""

Picture = Path | bytes
"""A picture file, or its content as it is stored in a data set."""


class EmbeddingCache:
    """Un-normalised embeddings of pictures and texts under one CLIP, read from ``place`` where they are there already.

    A changed weight, picture, text or preprocessing changes the file's name, so an old file is never taken for a new one.

    Args:
        clip: any CLIP, a CFalpha blend or a fine-tuned one included.
        place: a local folder or remote place.
        batch: inputs per forward pass.

    Attributes:
        weights: hash of the CLIP's weights.
        temperature: of its similarities, 1 / logit_scale.
    """

    def __init__(self, clip: ClipModel, place: str, *, batch: int = 64):
        self._clip, self._place, self._batch = clip, place, batch
        self.weights = weights_hash(clip.model.state_dict())
        self.temperature = float(1 / clip.model.logit_scale.detach().exp())

    def images(self, pictures: Sequence[Picture]) -> torch.Tensor:
        """Embeddings, float32 (n, d), of pictures.

        Raises:
            UserError: if there is no picture, or one cannot be decoded (it names the picture).
        """
        # Functions in torchvision's pipelines print with their address, which differs in every process.
        preprocess = re.sub(r" at 0x[0-9a-f]+", "", repr(self._clip.preprocess))
        return self._cached("images", preprocess, pictures, _content, self._embed_images)

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Embeddings, float32 (n, d), of texts.

        Raises:
            UserError: if there is no text.
        """
        return self._cached("texts", "", texts, str.encode, self._embed_texts)

    def _cached(self, kind: str, settings: str, inputs: Sequence, content, embed) -> torch.Tensor:
        if not len(inputs):
            raise UserError(f"no {kind} to embed; give at least one")
        parts = []
        for start in range(0, len(inputs), PART):
            part = inputs[start : start + PART]
            digest = hashlib.sha256(settings.encode())
            for item in part:
                digest.update(hashlib.sha256(content(item)).digest())
            file = storage.join(self._place, self.weights, f"{kind}-{digest.hexdigest()[:16]}.safetensors")
            if not storage.exists(file):
                storage.write_bytes(file, save_tensors({"embeddings": embed(part)}))
            parts.append(load_tensors(storage.read_bytes(file))["embeddings"])
        return torch.cat(parts)

    @torch.inference_mode()
    def _embed_images(self, pictures: Sequence[Picture]) -> torch.Tensor:
        device = next(self._clip.model.parameters()).device
        rows = []
        for start in range(0, len(pictures), self._batch):
            inputs = [self._clip.preprocess(_decode(picture)) for picture in pictures[start : start + self._batch]]
            rows.append(self._clip.model.encode_image(torch.stack(inputs).to(device)).float().cpu())
        return torch.cat(rows)

    @torch.inference_mode()
    def _embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        device = next(self._clip.model.parameters()).device
        ids = self._clip.tokenize(list(texts))
        return torch.cat([self._clip.model.encode_text(part.to(device)).float().cpu() for part in ids.split(self._batch)])


def _content(picture: Picture) -> bytes:
    return picture if isinstance(picture, bytes) else picture.read_bytes()


def _decode(picture: Picture) -> Image.Image:
    try:
        return Image.open(io.BytesIO(_content(picture))).convert("RGB")
    except OSError as error:
        name = f"of {len(picture)} bytes" if isinstance(picture, bytes) else repr(str(picture))
        raise UserError(f"picture {name} cannot be read ({error}); take it out or fetch it again") from None
