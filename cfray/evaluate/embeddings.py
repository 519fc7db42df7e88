"""A model that looks up what it embedded before: galleries in parts, texts, prototypes of classes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from cfray import storage
from cfray.clip.embed import embed_texts
from cfray.clip.model import ClipModel
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.embedding_files import (
    Embedded,
    image_place,
    joined,
    load_embeddings,
    require_finite,
    save_embeddings,
    weights_hash,
)
from cfray.evaluate.images import Gallery
from cfray.evaluate.one_pass import Weighted, embed_in_one_pass, in_parts
from cfray.metrics import class_prototypes


class Encoder:
    """Embeds with the weights that ``clip`` has now, and looks up first what was embedded with them before.

    Args:
        clip: the model; its weights must not change while the encoder is used.
        settings: ``cache`` is the place of the Parquet files, one folder for each set of weights.
    """

    def __init__(self, clip: ClipModel, settings: Settings):
        self._clip, self._settings = clip, settings
        self._weights = weights_hash(clip.model.state_dict())

    def images(self, gallery: Gallery) -> Embedded:
        """Embeddings of a gallery. With a warm cache no image is read."""
        parts = gallery.parts()
        embed_in_one_pass([Weighted(self._clip)], parts, self._settings, [self._weights])
        places = (image_place(self._settings, self._weights, self._clip.preprocess, part) for part in parts)
        return joined([load_embeddings(place) for place in places])

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """(n, d) float32 embeddings of unit norm."""
        return self._kept("texts", list(texts), lambda: self._embed(texts))

    def prototypes(self, prompts: Sequence[Sequence[str]]) -> np.ndarray:
        """(C, d) unit vectors, each the mean of the embeddings of one class's prompts (``class_prototypes``)."""

        def compute() -> np.ndarray:
            # Thousands of classes have too many prompts to hold their embeddings at once.
            return np.concatenate([class_prototypes([self._embed(row) for row in part]) for part in in_parts(prompts, 64)])

        return self._kept("prototypes", [prompt for row in prompts for prompt in (*row, "")], compute)

    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        return require_finite(texts, embed_texts(self._clip, list(texts), batch=self._settings.batch_size).numpy())

    def _kept(self, kind: str, texts: list[str], compute: Callable[[], np.ndarray]) -> np.ndarray:
        digest = hashlib.blake2b("\n".join(texts).encode(), digest_size=8)
        # Two tokenizers can go with the same weights; the ids of one text tell them apart.
        digest.update(self._clip.tokenize(texts[:1]).numpy().tobytes())
        place = storage.join(self._settings.cache, self._weights, f"{kind}-{digest.hexdigest()}.parquet")
        if not storage.exists(place):
            vectors = compute()
            save_embeddings(place, [str(row) for row in range(len(vectors))], vectors, {})
        return load_embeddings(place).vectors
