"""Rehearsal: ordinary pictures that hold the model where counterfactual sets do not reach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cfray.clip.embed import embed_images
from cfray.clip.model import ClipModel
from cfray.dataset.pairs import read_pairs
from cfray.errors import UserError
from cfray.train.config import RehearsalConfig


@dataclass
class Draw:
    """This worker's pictures of a step, float32 (n, 3, h, w), and what holds them.

    ``held``: their original embeddings (n, d), for ``form="embedding"``. ``captions``: a text for each, and ``numbers``, int64
    (all workers' n): the captions of all workers in rank order, equal where the texts are, for ``form="pairs"``.
    """

    pictures: torch.Tensor
    held: torch.Tensor | None = None
    captions: list[str] | None = None
    numbers: torch.Tensor | None = None


class Rehearsal:
    """The pictures of a place, and for ``form="embedding"`` their embeddings by the model as it is now, before any step.

    Counterfactual sets show people at work and nothing else; what they do not show is what fine-tuning forgets.

    Args:
        config: where the pictures are and how they are held.
        clip: the original model.
        rank, workers: of this worker.
        seed: of the draws. Which pictures a step has does not depend on the number of workers.

    Raises:
        UserError: if the place has no such pictures or fewer than a step takes, or one cannot be decoded.
    """

    def __init__(self, config: RehearsalConfig, clip: ClipModel, *, rank: int, workers: int, seed: int):
        self._pairs = read_pairs(config.data, captions=config.form == "pairs")
        if len(self) < config.images_per_step:
            raise UserError(
                f"rehearsal.images_per_step={config.images_per_step}, and {config.data!r} has {len(self)} pictures; lower it"
            )
        self._preprocess, self._per_step, self._seed = clip.preprocess, config.images_per_step, seed
        self._rank, self._workers = rank, workers
        self.original: torch.Tensor | None = None
        if config.form == "embedding":
            parts = [range(start, min(start + 256, len(self))) for start in range(0, len(self), 256)]
            self.original = torch.cat([embed_images(clip, self._pairs.decode(part, self._preprocess)) for part in parts])

    def __len__(self) -> int:
        return len(self._pairs)

    def draw(self, step: int) -> Draw:
        """This worker's share of the pictures of ``step``."""
        rng = np.random.default_rng((self._seed, step, 2))
        chosen = rng.choice(len(self), size=self._per_step, replace=False)
        own = chosen[self._rank :: self._workers]
        pictures = self._pairs.decode(own, self._preprocess)
        if self.original is not None:
            return Draw(pictures, held=self.original[own])
        texts = {int(i): self._pairs.captions[i][rng.integers(len(self._pairs.captions[i]))] for i in chosen}
        in_rank_order = [texts[int(i)] for rank in range(self._workers) for i in chosen[rank :: self._workers]]
        return Draw(pictures, captions=[texts[int(i)] for i in own], numbers=number_texts(in_rank_order))


def number_texts(texts: list[str]) -> torch.Tensor:
    """Numbers of texts, int64 (n,), equal where the texts are."""
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    return torch.tensor([numbers[text] for text in texts])
