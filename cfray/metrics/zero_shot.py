"""Zero-shot classification: class prototypes from prompt templates, top-k accuracy, and ABLE, which weighs it against skew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cfray.metrics.ranking import as_array, check_indices, check_k, check_scores, normalise, rank_of, similarity


def class_prototypes(template_embeddings: Sequence[Any]) -> np.ndarray:
    """One unit vector per class: the mean of its normalised template embeddings, normalised again.

    Args:
        template_embeddings: (C, T, d), or C arrays (T_c, d) when classes have different numbers of templates.

    Returns:
        (C, d), float64 for float64 input and float32 otherwise.

    Raises:
        ValueError: if there is no class, a class has no template, or an embedding is zero or not finite.

    References:
        Radford et al. 2021 (arXiv 2103.00020), section 3.1.4; open_clip's ``build_zero_shot_classifier``.
    """
    if not len(template_embeddings):
        raise ValueError("template_embeddings hold no class; give at least one")
    means = []
    for c, embeddings in enumerate(template_embeddings):
        embeddings = as_array(embeddings)
        if embeddings.ndim != 2 or not len(embeddings):
            raise ValueError(
                f"class {c} has template embeddings of shape {embeddings.shape}; give (templates, d), at least one"
            )
        means.append(normalise(embeddings, f"templates of class {c}").mean(axis=0))
    return normalise(np.stack(means), "class means")


def true_class_ranks(scores: Any, labels: Any) -> np.ndarray:
    """The rank of the true class of every image, 0 for the best, ties by class index.

    ``ranks < k`` are the top-k hits per image, which ``bootstrap_interval`` takes.

    Args:
        scores: (n, C) score of every image and class.
        labels: (n,) true class 0..C-1.

    Raises:
        ValueError: for scores without image or with NaN, or labels that are not one class per image.
    """
    scores = check_scores(scores, rows="image", columns="class")
    return rank_of(scores, check_indices(labels, *scores.shape, row="image", target="class"))


def top_k_accuracy(scores: Any, labels: Any, *, k: int) -> float:
    """Share of images whose true class is among the k best classes, 0 to 1.

    Args:
        scores: (n, C), ties by class index.
        labels: (n,) true class 0..C-1.
        k: 1..C.

    Raises:
        ValueError: as ``true_class_ranks``, or for k outside 1..C.
    """
    ranks = true_class_ranks(scores, labels)
    return float(np.mean(ranks < check_k(k, as_array(scores).shape[1], "set of classes")))


def zero_shot_accuracy(images: Any, prototypes: Any, labels: Any, *, k: int = 1) -> float:
    """Top-k accuracy of images classified by the cosine similarity to class prototypes.

    Args:
        images: (n, d) embeddings, normalised here.
        prototypes: (C, d), see ``class_prototypes``.
        labels: (n,) true class 0..C-1.
        k: 1 for the usual accuracy, 5 for top-5.

    Raises:
        ValueError: as ``top_k_accuracy`` and ``similarity``.
    """
    return top_k_accuracy(similarity(images, prototypes), labels, k=k)


def able(accuracy: float, max_skew: float) -> float:
    """ABLE = 2 / (1/accuracy + 1/exp(-MaxSkew)): harmonic mean of zero-shot accuracy and a fairness in (0, 1].

    Args:
        accuracy: ImageNet-1k zero-shot top-1 as a fraction, 0 to 1.
        max_skew: mean MaxSkew@k, at least 0; a natural logarithm.

    Returns:
        0 (no accuracy) to 1 (all right and no skew). Papers print it times 100.

    Raises:
        ValueError: if accuracy is no fraction (68.3 instead of 0.683), or max_skew is negative or not finite.

    References:
        Joint Vision-Language Social Bias Removal for CLIP (arXiv 2411.12785).
    """
    if not 0 <= accuracy <= 1:
        raise ValueError(f"accuracy={accuracy} is not a fraction from 0 to 1; divide a percentage by 100")
    if not 0 <= max_skew < np.inf:
        raise ValueError(f"max_skew={max_skew} is not a finite number from 0 up; give the mean MaxSkew@k")
    fairness = float(np.exp(-max_skew))
    return 2 * accuracy * fairness / (accuracy + fairness)
