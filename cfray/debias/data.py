"""What debiasing is fitted on: embeddings of labelled pictures and of texts, all from one frozen CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from cfray.debias.cache import EmbeddingCache
from cfray.debias.faces import LabelledPictures
from cfray.debias.texts import DebiasTexts
from cfray.errors import UserError

MIN_PER_VALUE = 10
"""Pictures below which a value of an attribute is too rare to learn from."""


@dataclass
class DebiasData:
    """Un-normalised embeddings, float32, with what is known of them. n images, d dimensions.

    A caption describes an image by all its labels; there is one per combination of values. Its twins are the captions it
    can be swapped for: those that differ in debiased attributes only.
    """

    weights: str
    """Hash of the CLIP's weights."""
    images: torch.Tensor
    """(n, d)"""
    labels: dict[str, torch.Tensor]
    """debiased attribute: (n,) int64 value ids 0..A-1."""
    values: dict[str, tuple[str, ...]]
    """debiased attribute: A names."""
    captions: torch.Tensor
    """(combinations, d)"""
    caption_of: torch.Tensor
    """(n,) row of ``captions``."""
    twins: torch.Tensor
    """(combinations, t) rows of ``captions``: the twins of each."""
    explicit: dict[str, torch.Tensor]
    """attribute: (A, templates, d), texts that name a value and nothing else."""
    pairs: dict[str, torch.Tensor]
    """attribute: (A, nouns, d), texts that name a noun and a value; along the first axis they differ in the value only."""
    neutral: torch.Tensor
    """(m, d), texts that name no value."""
    contexts: torch.Tensor
    """(c, d), captions of counterfactual sets, which name no value either; c is 0 where there are no sets."""
    others: torch.Tensor
    """(o, d), texts that name nobody; o may be 0."""
    sets: torch.Tensor | None = None
    """(n,) int64: images with one number are counterfactuals of each other. None where images have none."""
    cut_outs: torch.Tensor | None = None
    """(n, d), the people of the images without their scenes. None as ``sets``."""

    def subset(self, rows: torch.Tensor) -> DebiasData:
        """The same texts with the images of ``rows`` only."""
        return DebiasData(
            self.weights, self.images[rows], {name: ids[rows] for name, ids in self.labels.items()}, self.values,
            self.captions, self.caption_of[rows], self.twins, self.explicit, self.pairs, self.neutral,
            self.contexts, self.others, *(None if each is None else each[rows] for each in (self.sets, self.cut_outs)),
        )  # fmt: skip


def embed_training_data(
    cache: EmbeddingCache, people: LabelledPictures, texts: DebiasTexts, attributes: list[str] | None = None
) -> DebiasData:
    """Embed pictures and texts, from the cache where they are in it.

    Args:
        cache: holds the CLIP.
        people: labelled pictures. Groups that CLIP inferred are labels like any others.
        texts: words for the labels.
        attributes: those to debias, all labels when left out; the other labels are named in captions and kept in twins.

    Raises:
        UserError: as ``check_labels``, or if a picture cannot be read.
    """
    attributes = list(people.labels) if attributes is None else attributes
    values = check_labels(people, texts, attributes)
    ids = {name: torch.from_numpy(np.searchsorted(values[name], given)) for name, given in people.labels.items()}
    combinations = list(product(*values.values()))
    captions = [texts.caption(dict(zip(values, combination, strict=True))) for combination in combinations]
    grid = torch.arange(len(combinations)).reshape([len(found) for found in values.values()])

    def embed_rows(rows: list[list[str]]) -> torch.Tensor:
        return cache.texts([text for row in rows for text in row]).reshape(len(rows), len(rows[0]), -1)

    images = cache.images(people.pictures)

    def embed_any(given: Sequence[str]) -> torch.Tensor:
        return cache.texts(given) if given else torch.empty(0, images.shape[1])

    return DebiasData(
        weights=cache.weights,
        images=images,
        labels={name: ids[name] for name in attributes},
        values={name: values[name] for name in attributes},
        captions=cache.texts(captions),
        caption_of=grid[tuple(ids.values())],
        twins=_twins(grid, [axis for axis, name in enumerate(values) if name in attributes]),
        explicit={name: embed_rows(texts.explicit(name, values[name])) for name in attributes},
        pairs={name: embed_rows(texts.pairs(name, values[name])) for name in attributes},
        neutral=cache.texts(texts.neutral()),
        contexts=embed_any(people.captions),
        others=embed_any(texts.about_others()),
        cut_outs=None if people.cut_outs is None else cache.images(people.cut_outs),
        sets=None if people.sets is None else torch.from_numpy(np.asarray(people.sets, dtype=np.int64)),
    )


def _twins(grid: torch.Tensor, swapped: list[int]) -> torch.Tensor:
    """For every entry of a grid of captions, the other entries on its slice along the ``swapped`` axes."""
    kept = [axis for axis in range(grid.dim()) if axis not in swapped]
    slices = grid.permute(*kept, *swapped).reshape(-1, int(np.prod([grid.shape[axis] for axis in swapped])))
    size = slices.shape[1]
    others = torch.tensor([[j for j in range(size) if j != i] for i in range(size)])
    twins = torch.empty(grid.numel(), size - 1, dtype=torch.int64)
    twins[slices.reshape(-1)] = slices[:, others].reshape(-1, size - 1)
    return twins


def check_labels(people: LabelledPictures, texts: DebiasTexts, attributes: list[str]) -> dict[str, tuple[str, ...]]:
    """The values of every label, sorted.

    Raises:
        UserError: if no attribute is to be debiased, one has no labels or one value only, a value of it has fewer than
            ``MIN_PER_VALUE`` pictures, or any value has no words, so that captions that name it have no counterfactual.
    """
    if not attributes:
        raise UserError("attributes=[] leaves nothing to debias; name at least one")
    absent = [name for name in attributes if name not in people.labels]
    if absent:
        raise UserError(f"attribute {absent[0]!r} has no labels; the pictures have {', '.join(people.labels)}")
    values, n = {}, len(people)
    for attribute, given in people.labels.items():
        if len(given) != n:
            raise UserError(f"attribute {attribute!r} has {len(given)} labels for {n} pictures; give one for each")
        found, counts = np.unique(np.asarray(given), return_counts=True)
        values[attribute] = tuple(found.tolist())
        texts.require(attribute, values[attribute])
        if attribute not in attributes:
            continue
        if len(found) < 2:
            raise UserError(
                f"attribute {attribute!r} has one value, {found.tolist()[0]!r}, in all {n} pictures, so there is nothing to "
                "swap it for; add pictures with others or leave the attribute out"
            )
        rarest = int(counts.argmin())
        if counts[rarest] < MIN_PER_VALUE:
            raise UserError(
                f"{attribute}={found.tolist()[rarest]!r} has {counts[rarest]} of {n} pictures, at least {MIN_PER_VALUE} are "
                "needed; add pictures, merge the value with another or leave it out"
            )
    return values
