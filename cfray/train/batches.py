"""The batch of a step, made from the data alone and ahead of time by threads beside the training thread."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np
import torch
from torch.nn import functional as F

from cfray.clip.embed import embed_images, embed_texts
from cfray.clip.model import ClipModel
from cfray.concepts.concepts import Concept
from cfray.dataset.reader import TrainingSets
from cfray.train.augment import augment
from cfray.train.config import TrainConfig
from cfray.train.rehearsal import Rehearsal, number_texts
from cfray.train.sampler import SetSampler


def _moved(record, device: torch.device):
    """A dataclass with its tensors on ``device``; pinned first where that lets the copy overlap with the computation."""
    tensors = {f.name: getattr(record, f.name) for f in fields(record) if torch.is_tensor(getattr(record, f.name))}
    return replace(record, **{name: t.pin_memory().to(device, non_blocking=True) for name, t in tensors.items()})


@dataclass(frozen=True)
class Rehearsed:
    """This worker's ``count`` pictures of one rehearsal: their embeddings by the original model, ``held`` (count, d), or
    ``captions``, int64, the numbers of the captions of all workers' pictures."""

    count: int
    held: torch.Tensor | None = None
    captions: torch.Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """What one worker trains on in one step: S sets over all workers, ``sets`` = s here, with V images each.

    ``images`` (s * V + r, 3, h, w) are those of the sets, then r of the rehearsals in their order. ``ids`` (s + a + c, context)
    are the sets' captions, anchors and captions of the rehearsals. ``captions`` numbers the sets' captions of all workers,
    equal where the texts are. ``anchor_texts`` (a, d) and ``anchor_images`` (s, d) are embeddings by the original model.
    What a configuration does without is None.
    """

    sets: int
    images: torch.Tensor
    ids: torch.Tensor
    captions: torch.Tensor
    anchor_texts: torch.Tensor | None = None
    anchor_images: torch.Tensor | None = None
    rehearsed: tuple[Rehearsed, ...] = ()

    def to(self, device: torch.device) -> Batch:
        """The same tensors on the training device."""
        if device.type == "cpu":
            return self
        return replace(_moved(self, device), rehearsed=tuple(_moved(part, device) for part in self.rehearsed))


class Batches:
    """Makes this worker's batch of any step; what it makes depends on configuration, data and step alone.

    Args:
        clip: the original model, which anchors and rehearsals embed here, before any step.
    """

    def __init__(self, config: TrainConfig, clip: ClipModel, *, rank: int, workers: int):
        self._config, self._clip = config, clip
        self._sets = TrainingSets(
            config.data, config.images_per_set, clip.preprocess,
            zoom_share=config.zoom_share, augment=partial(augment, config.augment),
        )  # fmt: skip
        self._sampler = SetSampler(len(self._sets), config.sets_per_batch, rank, workers, config.seed)
        self._share = slice(rank * config.sets_per_batch // workers, (rank + 1) * config.sets_per_batch // workers)
        self._rehearsals = [Rehearsal(entry, clip, rank=rank, workers=workers, seed=config.seed) for entry in config.rehearsal]
        self._anchor_texts = self._anchor_images = None
        if config.loss.anchor_text:
            # The captions that name appearance: what pulling counterfactuals together would forget first.
            prompts = sorted(set(self._sets.prompts))
            self._anchor_texts = (clip.tokenize(prompts), embed_texts(clip, prompts))
        if config.loss.anchor_image:
            means = [embed_images(clip, self._sets.whole(index)).mean(dim=0) for index in range(len(self._sets))]
            self._anchor_images = F.normalize(torch.stack(means), dim=-1)

    def batch(self, step: int) -> Batch:
        indices = self._sampler.batch(step)
        images = [self._sets.draw(index, self._sampler.generator(step, index)) for index in indices]
        ids = [self._clip.tokenize([self._caption(step, index) for index in indices])]
        captions = number_texts([self._caption(step, index) for index in self._sampler.whole_batch(step)])
        batch = Batch(len(indices), torch.empty(0), torch.empty(0), captions)
        if self._anchor_texts is not None:
            every, original = self._anchor_texts
            draw = torch.Generator().manual_seed(step)
            chosen = torch.randint(len(every), (self._config.sets_per_batch,), generator=draw)[self._share]
            ids.append(every[chosen])
            batch = replace(batch, anchor_texts=original[chosen])
        if self._anchor_images is not None:
            batch = replace(batch, anchor_images=self._anchor_images[indices])
        drawn = [rehearsal.draw(step) for rehearsal in self._rehearsals]
        images += [part.pictures for part in drawn]
        ids += [self._clip.tokenize(part.captions) for part in drawn if part.captions is not None]
        rehearsed = tuple(Rehearsed(len(part.pictures), part.held, part.numbers) for part in drawn)
        return replace(batch, images=torch.cat(images), ids=torch.cat(ids), rehearsed=rehearsed)

    def _caption(self, step: int, index: int) -> str:
        """The caption of set ``index`` at ``step``: its own, or the bare one that search prompts look like."""
        # Not the generator of the draw: the caption must be known to every worker, the images only to one.
        if np.random.default_rng((self._config.seed, step, index, 1)).random() < self._config.bare_caption_share:
            return f"a photo of {Concept(self._sets.concepts[index]).with_article}"
        return self._sets.captions[index]


class Prefetcher:
    """Batches of consecutive steps, each made whole by one of several threads while the training thread computes.

    Decoding and resizing leave Python's lock to others, and a thread hands its tensors over without a copy. ``waited`` sums up
    the seconds that ``next`` had to wait.
    """

    def __init__(self, batches: Batches, first: int, steps: int, *, threads: int):
        self._batches, self._next, self._steps = batches, first, steps
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="batches")
        self._ahead: deque[Future[Batch]] = deque()
        self._depth = threads + 1
        self.waited = 0.0
        self._fill()

    def next(self) -> Batch:
        """The batch of the next step; an error of its thread is raised here."""
        started = time.monotonic()
        batch = self._ahead.popleft().result()
        self.waited += time.monotonic() - started
        self._fill()
        return batch

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _fill(self) -> None:
        while len(self._ahead) < self._depth and self._next < self._steps:
            self._ahead.append(self._pool.submit(self._batches.batch, self._next))
            self._next += 1
