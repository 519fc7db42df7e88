"""Images to embeddings: read and decoded once for any number of weights, decoding ahead while a model works."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from cfray import storage
from cfray.clip.embed import embed_images
from cfray.clip.model import ClipModel
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.embedding_files import State, describe, image_place, save_embeddings, weights_hash
from cfray.evaluate.images import Gallery, Picture, UnreadableError, decode

# Batches prepared at once for all weights: loading weights costs about as much as embedding a few images.
BATCHES_PER_CHUNK = 4


@dataclass
class Weighted:
    """A CLIP with the weights that it has, or with those that ``state`` gives: a blend, made anew whenever its turn comes, so
    that any number of blends takes the memory of three models."""

    clip: ClipModel
    state: Callable[[], State] | None = None

    def ready(self) -> ClipModel:
        """The model with these weights in it."""
        if self.state is not None:
            self.clip.model.load_state_dict(self.state())
        return self.clip

    def hash(self) -> str:
        """The ``weights_hash`` of these weights."""
        return weights_hash(self.clip.model.state_dict() if self.state is None else self.state())


@dataclass
class _Open:
    """A part of a gallery that is being embedded: where each model's vectors go, and those there are."""

    part: Gallery
    places: dict[int, str]
    vectors: dict[int, list[np.ndarray]]
    unreadable: dict[str, str]

    def save(self) -> None:
        names = [picture.name for picture in self.part.pictures]
        for model, place in self.places.items():
            parts = self.vectors[model]
            save_embeddings(place, names, np.concatenate(parts) if parts else np.empty((0, 1), np.float32), self.unreadable)


def embed_in_one_pass(
    models: Sequence[Weighted], parts: Sequence[Gallery], settings: Settings, hashes: Sequence[str] | None = None,
    tell: Callable[[int], object] = lambda images: None,
) -> None:  # fmt: skip
    """Embed parts of galleries with several models, every image read and decoded once, and keep the results.

    Images are prepared once for each kind of preprocessing. What is in the cache already is not embedded again.

    Args:
        models: of any architecture. The weights of a blended one are those of its last blend afterwards.
        parts: see ``Gallery.parts``; each is written as soon as it is done.
        settings: ``batch_size`` images go through a model at once; ``decode_threads`` prepare the next ones meanwhile.
        hashes: ``Weighted.hash`` of every model, where it is known.
        tell: called with the number of images of every chunk that all models are done with.
    """
    hashes = [model.hash() for model in models] if hashes is None else hashes
    missing = []
    for part in parts:
        places = {
            i: image_place(settings, hashed, model.clip.preprocess, part)
            for i, (model, hashed) in enumerate(zip(models, hashes, strict=True))
        }
        places = {i: place for i, place in places.items() if not storage.exists(place)}
        if places:
            missing.append(_Open(part, places, {i: [] for i in places}, {}))
    preprocesses = {describe(models[i].clip.preprocess): models[i].clip.preprocess for opened in missing for i in opened.places}
    size = settings.batch_size * BATCHES_PER_CHUNK
    chunks = [(opened, pictures) for opened in missing for pictures in in_parts(opened.part.pictures, size)]
    for (opened, pictures), inputs, failed in _prepared(preprocesses, chunks, settings.decode_threads):
        opened.unreadable |= failed
        for i in opened.places:
            batch = inputs[describe(models[i].clip.preprocess)]
            if len(batch):
                clip, precision = models[i].ready(), settings.precision
                opened.vectors[i].append(embed_images(clip, batch, batch=settings.batch_size, precision=precision).numpy())
        tell(len(pictures))
        if pictures[-1] is opened.part.pictures[-1]:
            opened.save()
            opened.vectors.clear()


def in_parts(items: Sequence, size: int) -> Iterator[Sequence]:
    """Items in runs of ``size``, the last one shorter."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


_Chunk = tuple[_Open, Sequence[Picture]]


def _prepared(
    preprocesses: Mapping[str, Callable], chunks: Sequence[_Chunk], threads: int
) -> Iterator[tuple[_Chunk, dict[str, torch.Tensor], dict[str, str]]]:
    """Every chunk in order, with its model inputs (b, 3, H, W) for each way to prepare them and those of its pictures that
    cannot be decoded."""

    def prepare(picture: Picture) -> dict[str, torch.Tensor] | UnreadableError:
        try:
            image = decode(picture.read(), picture.box)
        except UnreadableError as error:
            return error
        return {key: preprocess(image) for key, preprocess in preprocesses.items()}

    def collect(chunk: _Chunk, futures: list) -> tuple[_Chunk, dict[str, torch.Tensor], dict[str, str]]:
        results = [future.result() for future in futures]
        inputs = [result for result in results if not isinstance(result, UnreadableError)]
        failed = {p.name: str(r) for p, r in zip(chunk[1], results, strict=True) if isinstance(r, UnreadableError)}
        stacked = {key: torch.stack([row[key] for row in inputs]) if inputs else torch.empty(0) for key in preprocesses}
        return chunk, stacked, failed

    with ThreadPoolExecutor(threads) as pool:
        ahead: deque = deque()
        for chunk in chunks:
            ahead.append((chunk, [pool.submit(prepare, picture) for picture in chunk[1]]))
            if len(ahead) == 2:
                yield collect(*ahead.popleft())
        while ahead:
            yield collect(*ahead.popleft())
