"""Retrieval between images and captions: recall@k in both directions, and the recall of the worst-served group."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cfray.metrics.ranking import as_array, check_indices, check_k, check_scores, rank_of
from cfray.metrics.skew import check_groups


@dataclass(frozen=True)
class Recall:
    """Recall@k in both directions, with the sizes it was measured on."""

    k: int
    text_to_image: float
    image_to_text: float
    n_images: int
    n_captions: int

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True, eq=False)
class RetrievalRanks:
    """Where the right answer of every query stands; 0 is best."""

    text_to_image: np.ndarray
    """(n_captions,) rank of the caption's image among all images."""
    image_to_text: np.ndarray
    """(n_images,) rank of the best of the image's captions among all captions."""

    def recall(self, k: int) -> Recall:
        """Share of queries with a right answer among the first k.

        Raises:
            ValueError: if k is below 1 or larger than the number of images or of captions.
        """
        n_images, n_captions = len(self.image_to_text), len(self.text_to_image)
        k = check_k(k, n_images, "gallery of images")
        return Recall(k, float(np.mean(self.text_to_image < k)), float(np.mean(self.image_to_text < k)), n_images, n_captions)


def retrieval_ranks(similarity: Any, caption_image: Any) -> RetrievalRanks:
    """Ranks of the right answers in both directions, any number of captions per image, ties by index.

    Args:
        similarity: (n_images, n_captions) scores.
        caption_image: (n_captions,) index of the image each caption belongs to.

    Raises:
        ValueError: for scores without image or caption or with NaN, an index that is no image, or an image without caption.
    """
    similarity = check_scores(similarity, rows="image", columns="caption")
    n_images, n_captions = similarity.shape
    owner = check_indices(caption_image, n_captions, n_images, row="caption", target="image")
    without = np.setdiff1d(np.arange(n_images), owner)
    if without.size:
        raise ValueError(f"{without.size} of {n_images} images have no caption, first image {without[0]}; leave them out")
    best = np.empty(n_images, dtype=np.int64)
    # Captions sorted by image and falling score: the first of each run is the image's best, the lower index on ties.
    captions = np.lexsort((np.arange(n_captions), -similarity[owner, np.arange(n_captions)], owner))
    images, first = np.unique(owner[captions], return_index=True)
    best[images] = captions[first]
    return RetrievalRanks(rank_of(np.ascontiguousarray(similarity.T), owner), rank_of(similarity, best))


def recall_at_k(similarity: Any, caption_image: Any, *, k: int) -> Recall:
    """Recall@k of retrieval in both directions.

    text_to_image is the share of captions whose image is among the k best images; image_to_text is the share of images with
    any of their captions among the k best captions (the protocol of Karpathy's Flickr30k and COCO splits).

    Args:
        similarity: (n_images, n_captions) scores, ties by index.
        caption_image: (n_captions,) index of the image each caption belongs to.
        k: 1..n_images. For several k use ``retrieval_ranks(...).recall(k)``, which ranks once.

    Returns:
        ``Recall`` with fractions in [0, 1].

    Raises:
        ValueError: as ``retrieval_ranks``, or for k outside 1..n_images.
    """
    return retrieval_ranks(similarity, caption_image).recall(k)


@dataclass(frozen=True, eq=False)
class WorstGroupRecall:
    """How often images find their scene's caption, for the group served worst."""

    mean_of_min: float
    """mean over scenes of the minimum over groups: the worst group may be another in every scene."""
    min_of_mean: float
    """minimum over groups of the mean over scenes: one group that is served worst overall; never below mean_of_min."""
    recall: np.ndarray
    """(scenes, A) share of each cell's images whose best caption is their scene's, NaN for a cell without image."""
    scenes: np.ndarray
    """(scenes,) ids of the rows, ascending."""
    empty_cells: int
    """Cells without image: left out of both numbers."""

    def to_dict(self) -> dict[str, float]:
        return {"mean_of_min": self.mean_of_min, "min_of_mean": self.min_of_mean, "empty_cells": self.empty_cells}


def worst_group_recall(
    similarity: Any, image_scenes: Any, caption_scenes: Any, groups: Any, *, n_groups: int | None = None
) -> WorstGroupRecall:
    """Worst-group recall of scene captions, as on PATA (Seth et al. 2023, arXiv 2303.10431).

    For scene s and group g, R_sg is the share of images of s and g whose best caption among those of all scenes is one of s.

    Args:
        similarity: (n_images, n_captions) scores, ties by index.
        image_scenes: (n_images,) integer scene ids.
        caption_scenes: (n_captions,) integer scene ids; a scene may have several captions, or captions and no image.
        groups: (n_images,) group ids 0..A-1.
        n_groups: A; the largest id + 1 when left out.

    Returns:
        ``WorstGroupRecall`` with mean_s min_g R_sg and min_g mean_s R_sg, in [0, 1].

    Raises:
        ValueError: for scores as in ``retrieval_ranks``, lengths that differ, a scene without caption, or groups as in
            ``max_skew``.
    """
    similarity = check_scores(similarity, rows="image", columns="caption")
    image_scenes, caption_scenes = as_array(image_scenes), as_array(caption_scenes)
    groups, sizes = check_groups(groups, n_groups)
    lengths = (len(image_scenes), len(groups), len(caption_scenes))
    if lengths != (similarity.shape[0], similarity.shape[0], similarity.shape[1]):
        raise ValueError(
            f"image_scenes, groups and caption_scenes have {lengths[0]}, {lengths[1]} and {lengths[2]} entries for scores of "
            f"{similarity.shape[0]} images and {similarity.shape[1]} captions; give one entry each"
        )
    scenes, row = np.unique(image_scenes, return_inverse=True)
    mute = np.setdiff1d(scenes, caption_scenes)
    if mute.size:
        raise ValueError(f"{mute.size} of {len(scenes)} scenes have no caption, first scene {mute[0]}; leave them out")
    hit = caption_scenes[similarity.argmax(axis=1)] == image_scenes
    shape = (len(scenes), len(sizes))
    cell = row * len(sizes) + groups
    images = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    hits = np.bincount(cell, weights=hit, minlength=shape[0] * shape[1]).reshape(shape)
    recall = np.divide(hits, images, out=np.full(shape, np.nan), where=images > 0)
    return WorstGroupRecall(
        mean_of_min=float(np.nanmin(recall, axis=1).mean()),
        min_of_mean=float(np.nanmean(recall, axis=0).min()),
        recall=recall,
        scenes=scenes,
        empty_cells=int((images == 0).sum()),
    )
