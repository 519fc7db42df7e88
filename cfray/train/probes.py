"""Probes: accuracies of the model that are watched while it trains."""

from __future__ import annotations

import torch

from cfray.clip.embed import embed_images, embed_texts
from cfray.clip.model import ClipModel
from cfray.dataset.pairs import read_pairs
from cfray.errors import UserError
from cfray.metrics.retrieval import recall_at_k
from cfray.metrics.zero_shot import zero_shot_accuracy
from cfray.train.config import ProbeConfig

PROMPT = "a photo of a {}."
_BATCH = 64


class Probe:
    """One accuracy, or two for retrieval, on pictures that are read once and decoded anew each time.

    Raises:
        UserError: if the pictures are missing or too few for what is asked.
    """

    def __init__(self, config: ProbeConfig):
        self._config = config
        self._pairs = read_pairs(config.data, captions=True, limit=config.max_pictures)
        if config.kind == "retrieval" and len(self._pairs) < config.k:
            raise UserError(
                f"probe {config.name!r}: R@{config.k} needs as many pictures, {config.data!r} has {len(self._pairs)}"
            )
        if config.kind == "zero_shot":
            several = next((i for i, texts in enumerate(self._pairs.captions) if len(texts) > 1), None)
            if several is not None:
                raise UserError(
                    f"probe {config.name!r}: picture {several} of {config.data!r} has several captions, not one class"
                )

    def measure(self, clip: ClipModel) -> dict[str, float]:
        """Accuracies as fractions, by name: NAME, or NAME_text_to_image and NAME_image_to_text."""
        images, name = self._embed(clip), self._config.name
        if self._config.kind == "zero_shot":
            classes = sorted({texts[0] for texts in self._pairs.captions})
            prototypes = embed_texts(clip, [PROMPT.format(label) for label in classes])
            labels = [classes.index(texts[0]) for texts in self._pairs.captions]
            return {name: zero_shot_accuracy(images, prototypes, labels)}
        texts = [text for of_picture in self._pairs.captions for text in of_picture]
        owner = [index for index, of_picture in enumerate(self._pairs.captions) for _ in of_picture]
        recall = recall_at_k((images @ embed_texts(clip, texts).T).numpy(), owner, k=self._config.k)
        return {f"{name}_text_to_image": recall.text_to_image, f"{name}_image_to_text": recall.image_to_text}

    def _embed(self, clip: ClipModel) -> torch.Tensor:
        starts = range(0, len(self._pairs), _BATCH)
        parts = (range(start, min(start + _BATCH, len(self._pairs))) for start in starts)
        return torch.cat([embed_images(clip, self._pairs.decode(part, clip.preprocess)) for part in parts])


def run_probes(probes: list[Probe], clip: ClipModel) -> dict[str, float]:
    """All accuracies by ``probe/NAME``; the model must be in evaluation mode."""
    return {f"probe/{name}": value for probe in probes for name, value in probe.measure(clip).items()}


def accuracy_lost(first: dict[str, float], now: dict[str, float]) -> tuple[str, float]:
    """The probe that fell most since step 0, and by how much: a fraction, negative if every one rose."""
    losses = {name: value - now[name] for name, value in first.items() if name.startswith("probe/")}
    worst = max(losses, key=losses.__getitem__)
    return worst, losses[worst]
