"""Groups of people without labels, inferred from CLIP embeddings by attribute prompts (arXiv 2403.10624).

The similarity of an image to the prompts of every value is a short vector. Its largest entry is a pseudo-label (``argmax``),
clusters of the vectors are groups (``kmeans``, ``gmm``), and its softmax is a soft membership (``relevancy``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.linalg import helmert
from scipy.optimize import linear_sum_assignment
from scipy.special import softmax

from cfray.errors import UserError
from cfray.groups.clusters import TINY, InferredGroups, SoftClusters, require_groups
from cfray.metrics import group_agreement, normalise
from cfray.metrics.ranking import as_array

Method = Literal["argmax", "kmeans", "gmm"]


class PromptGroups:
    """Groups by attribute prompts, fitted on embeddings of images.

    ``argmax`` takes the most similar value and has nothing to fit. ``kmeans`` and ``gmm`` cluster the contrasts between the
    similarities, so that what an image shares with all prompts does not count; with as many clusters as values each cluster is
    named by one value (the best one-to-one matching), and group i is value i whatever the method.

    Args:
        images: (n, d) embeddings.
        prompts: (V, W, d) embeddings of the prompts, see ``AttributePrompts.flat``.
        values: the V names of the values.
        method: see above.
        n_groups: number of clusters; when left out V for ``kmeans``, and for ``gmm`` chosen by ``SoftClusters``.
        temperature: of ``argmax``'s relevancy softmax(similarity / temperature): 1 / logit_scale of the CLIP.
        seed: of the clusterings.

    Raises:
        UserError: as ``similarity_vectors``; for names that are not V, or ``n_groups`` that does not fit.
    """

    def __init__(
        self, images: Any, prompts: Any, values: tuple[str, ...], *, method: Method = "argmax", n_groups: int | None = None,
        temperature: float = 0.01, seed: int = 0,
    ):  # fmt: skip
        self._prompts, self._temperature, self._clusters = prompts, temperature, None
        self.names = values = tuple(values)
        similarities = similarity_vectors(images, prompts)
        if len(values) != similarities.shape[1]:
            raise UserError(f"{len(values)} names for prompts of {similarities.shape[1]} values; give one name for each")
        if method == "argmax":
            if n_groups is not None:
                raise UserError(f"n_groups={n_groups} does not go with argmax, whose groups are the values; leave it out")
            return
        if n_groups is None and method == "kmeans":
            n_groups = len(values)
        self._clusters = SoftClusters(_contrasts(similarities), method=method, n_groups=n_groups, seed=seed)
        relevancy = self._clusters.relevancy(_contrasts(similarities))
        self._order, self.names = _name(relevancy, similarities, values)

    def infer(self, images: Any) -> InferredGroups:
        """The groups of images (n, d), those that were fitted or others."""
        similarities = similarity_vectors(images, self._prompts)
        if self._clusters is None:
            relevancy = softmax(similarities / self._temperature, axis=1)
            return InferredGroups(similarities.argmax(axis=1), relevancy, self.names)
        relevancy = self._clusters.relevancy(_contrasts(similarities))[:, self._order]
        return InferredGroups(relevancy.argmax(axis=1), relevancy, self.names)


def infer_groups(
    images: Any, prompts: Any, values: tuple[str, ...], *, method: Method = "argmax", **settings: Any
) -> InferredGroups:
    """Fit ``PromptGroups`` on images and infer their groups; arguments as there.

    Raises:
        UserError: as ``PromptGroups``, or if all samples end in one group.
    """
    found = PromptGroups(images, prompts, values, method=method, **settings).infer(images)
    way_out = "these prompts do not tell them apart: give other wordings, or method=kmeans, which splits what there is"
    require_groups(found, method, way_out)
    return found


def similarity_vectors(images: Any, prompts: Any) -> np.ndarray:
    """Cosine similarity of every image to every value.

    Args:
        images: (n, d) embeddings.
        prompts: (V, W, d) embeddings of W wordings of V values; a value is the normalised mean of its normalised wordings.

    Returns:
        (n, V), each in [-1, 1].

    Raises:
        UserError: if there are fewer than two values, or the shapes do not fit.
    """
    images, prompts = as_array(images), as_array(prompts)
    if images.ndim != 2 or prompts.ndim != 3 or images.shape[1] != prompts.shape[2]:
        raise UserError(f"images {images.shape} and prompts {prompts.shape} must be (n, d) and (V, W, d) with one d")
    if prompts.shape[0] < 2:
        raise UserError(f"the prompts name {prompts.shape[0]} value, so there are no groups to tell apart; give two or more")
    prototypes = normalise(normalise(prompts, "prompts").mean(axis=1), "prompts")
    return normalise(images, "images") @ prototypes.T


def combine_groups(*inferred: InferredGroups, names: tuple[str, ...] | None = None) -> InferredGroups:
    """Groups by several attributes at once, such as "Female, Black".

    The relevancy of a combination is the product of its parts', as if the attributes were independent given the image.

    Args:
        inferred: the groups of the same n samples by each attribute.
        names: the combinations to choose from, for other samples the ``names`` of a first result; when left out those that a
            sample is in.
    """
    relevancy, combinations = inferred[0].relevancy, inferred[0].names
    for other in inferred[1:]:
        relevancy = (relevancy[:, :, None] * other.relevancy[:, None, :]).reshape(len(relevancy), -1)
        combinations = tuple(f"{first}, {second}" for first in combinations for second in other.names)
    if names is None:
        names = tuple(combinations[i] for i in np.unique(relevancy.argmax(axis=1)))
    kept = relevancy[:, [combinations.index(name) for name in names]]
    return InferredGroups(kept.argmax(axis=1), kept / np.maximum(kept.sum(axis=1, keepdims=True), TINY), names)


@dataclass(frozen=True, eq=False)
class WordingSensitivity:
    """Groups by single wordings against those by all wordings together."""

    agreement: np.ndarray
    """(W,) share of samples in the same group, 0 to 1."""
    without_groups: tuple[int, ...]
    """Wordings that put all samples into one group."""

    @property
    def worst(self) -> int:
        """The wording that changes most."""
        return int(self.agreement.argmin())

    def to_dict(self) -> dict[str, float | int]:
        """The numbers, ready for JSON."""
        mean, least = float(self.agreement.mean()), float(self.agreement.min())
        return {"mean": mean, "least": least, "wordings": len(self.agreement), "without_groups": len(self.without_groups)}


def wording_sensitivity(
    images: Any, prompts: Any, values: tuple[str, ...], *, method: Method = "argmax", **settings
) -> WordingSensitivity:
    """How much groups depend on the wording; arguments and errors as ``infer_groups``.

    Group ids are compared as they are where groups are values, else after the best one-to-one matching.
    """
    together = infer_groups(images, prompts, values, method=method, **settings)
    prompts, agreement, without = as_array(prompts), [], []
    for w in range(prompts.shape[1]):
        alone = PromptGroups(images, prompts[:, w : w + 1], values, method=method, **settings).infer(images)
        if len(np.unique(alone.groups)) < 2:
            without.append(w)
        if alone.names == together.names == tuple(values):
            agreement.append(np.mean(alone.groups == together.groups))
        else:
            _, ids = np.unique(together.groups, return_inverse=True)
            agreement.append(group_agreement(alone.groups, ids).accuracy)
    return WordingSensitivity(np.array(agreement), tuple(without))


def _contrasts(similarities: np.ndarray) -> np.ndarray:
    """(n, V - 1) coordinates of similarity vectors (n, V) in the space of what sums to 0."""
    return similarities @ helmert(similarities.shape[1]).T


def _name(relevancy: np.ndarray, similarities: np.ndarray, values: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Order and names of clusters: a cluster is like the value that it is nearer to than the samples are on average."""
    weights = relevancy / np.maximum(relevancy.sum(axis=0), TINY)
    likeness = weights.T @ similarities - similarities.mean(axis=0)
    if relevancy.shape[1] == len(values):
        _, order = linear_sum_assignment(likeness.T, maximize=True)
        return order, values
    nearest = (likeness - likeness.mean(axis=1, keepdims=True)).argmax(axis=1)
    order = np.lexsort((-relevancy.sum(axis=0), nearest))
    several, seen, names = Counter(nearest.tolist()), Counter(), []
    for value in nearest[order].tolist():
        seen[value] += 1
        names.append(values[value] if several[value] == 1 else f"{values[value]} {seen[value]}")
    return order, tuple(names)
