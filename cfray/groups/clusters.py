"""Clusters of points and of image embeddings: groups by what is seen, with no prompt and no fixed taxonomy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import softmax

from cfray.errors import UserError
from cfray.metrics import normalise
from cfray.metrics.ranking import as_array

MAX_CLUSTERS = 8
TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True, eq=False)
class InferredGroups:
    """G groups of n samples."""

    groups: np.ndarray
    """(n,) int64 ids 0..G-1, ready for every metric that takes groups. A group can be empty."""
    relevancy: np.ndarray
    """(n, G) how much each sample belongs to each group; rows sum to 1."""
    names: tuple[str, ...]
    """G names: values of an attribute where prompts were given."""

    @property
    def confidence(self) -> np.ndarray:
        """(n,) the relevancy of a sample's own group, in (0, 1]."""
        return self.relevancy[np.arange(len(self.groups)), self.groups]

    @property
    def sizes(self) -> dict[str, int]:
        """How many samples each group has."""
        return dict(zip(self.names, np.bincount(self.groups, minlength=len(self.names)).tolist(), strict=True))


class SoftClusters:
    """G clusters of points (n, d), with soft membership.

    k-means gives the posterior of equal spherical Gaussians around its centres, a Gaussian mixture its own. Without
    ``n_groups`` the mixture has the number of components from 1 to ``MAX_CLUSTERS`` with the least Bayesian information
    criterion (Schwarz 1978).

    Raises:
        UserError: if ``n_groups`` is below 2 or above n, or left out for ``kmeans``.
    """

    def __init__(self, points: np.ndarray, *, method: Literal["kmeans", "gmm"], n_groups: int | None, seed: int):
        # A second to import, and groups by the most similar value need neither.
        from sklearn.cluster import KMeans
        from sklearn.mixture import GaussianMixture

        n = len(points)
        if n_groups is None and method == "kmeans":
            raise UserError("kmeans needs n_groups; only a Gaussian mixture (gmm) chooses its own number, by BIC")
        if n_groups is not None and not 2 <= n_groups <= n:
            raise UserError(f"n_groups={n_groups} is not between 2 and the number of samples, {n}")
        # Unit variance, because the mixture regularises covariances by an absolute amount.
        self._scale = max(float(points.std()), TINY)
        points = points.astype(np.float64) / self._scale
        if method == "kmeans":
            self._centres = KMeans(n_groups, n_init=10, random_state=seed).fit(points).cluster_centers_
            self._variance = max(self._distances(points).min(axis=1).mean() / points.shape[1], TINY)
            self._mixture = None
        else:
            counts = range(1, min(MAX_CLUSTERS, n) + 1) if n_groups is None else (n_groups,)
            fits = [GaussianMixture(count, n_init=3, random_state=seed).fit(points) for count in counts]
            self._mixture = min(fits, key=lambda fit: fit.bic(points))

    def relevancy(self, points: np.ndarray) -> np.ndarray:
        """(n, G) membership of points (n, d), those that were fitted or others; rows sum to 1."""
        points = points.astype(np.float64) / self._scale
        if self._mixture is not None:
            return self._mixture.predict_proba(points)
        return softmax(-self._distances(points) / (2 * self._variance), axis=1)

    def _distances(self, points: np.ndarray) -> np.ndarray:
        return ((points[:, None, :] - self._centres) ** 2).sum(axis=2)


class AppearanceClusters:
    """Clusters of image embeddings after what makes the concept is projected out.

    The normalised embeddings lose their part in the span of ``directions`` and are reduced to their first principal components;
    a Gaussian mixture over those gives the groups, numbered by size. What is left is background as well as appearance, so look
    at the clusters.

    Args:
        images: (n, d) embeddings to fit on.
        directions: (m, d), such as ``concept_directions`` or the text embedding of the concept; m may be 0.
        n_groups: number of clusters; by BIC when left out.
        dimensions: principal components.
        seed: of the clustering.

    Raises:
        UserError: if the shapes do not fit, the directions leave nothing, or all images end in one cluster.
    """

    def __init__(self, images: Any, directions: Any, *, n_groups: int | None = None, dimensions: int = 8, seed: int = 0):
        images, directions = as_array(images), as_array(directions)
        if images.ndim != 2 or directions.ndim != 2 or images.shape[1] != directions.shape[1]:
            raise UserError(f"images {images.shape} and directions {directions.shape} must be (n, d) and (m, d) with one d")
        self._basis = span(directions)
        left = self._without_concept(images)
        self._mean = left.mean(axis=0)
        _, scale, rows = np.linalg.svd(left - self._mean, full_matrices=False)
        kept = min(dimensions, int((scale > 1e-6 * max(scale[0], 1e-6)).sum()))
        if not kept:
            raise UserError(f"{len(images)} images have nothing left to cluster once {len(directions)} directions are out")
        self._components = rows[:kept]
        self._clusters = SoftClusters(self._points(images), method="gmm", n_groups=n_groups, seed=seed)
        self._order = np.argsort(-self._clusters.relevancy(self._points(images)).sum(axis=0), kind="stable")
        self.names = tuple(f"cluster {i + 1}" for i in range(len(self._order)))
        require_groups(self.infer(images), "clusters of the embeddings", "give n_groups, fewer directions or more images")

    def infer(self, images: Any) -> InferredGroups:
        """The groups of images (n, d), those that were fitted or others."""
        relevancy = self._clusters.relevancy(self._points(as_array(images)))[:, self._order]
        return InferredGroups(relevancy.argmax(axis=1), relevancy, self.names)

    def _points(self, images: np.ndarray) -> np.ndarray:
        return (self._without_concept(images) - self._mean) @ self._components.T

    def _without_concept(self, images: np.ndarray) -> np.ndarray:
        images = normalise(images, "images")
        return images - images @ self._basis.T @ self._basis


def concept_directions(images: Any, concepts: Any) -> np.ndarray:
    """What tells concepts apart: the mean embedding of each concept's images less the mean over concepts.

    Appearance that goes with a concept in the images is in these directions too; balanced images do not have that.

    Args:
        images: (n, d) embeddings.
        concepts: (n,) concept ids 0..C-1, every one with an image.

    Returns:
        (C, d)
    """
    images, concepts = normalise(as_array(images), "images"), as_array(concepts)
    means = np.stack([images[concepts == concept].mean(axis=0) for concept in range(int(concepts.max()) + 1)])
    return means - means.mean(axis=0)


def span(directions: np.ndarray) -> np.ndarray:
    """An orthonormal basis (r, d) of the span of directions (m, d)."""
    if not len(directions):
        return directions
    _, scale, rows = np.linalg.svd(directions, full_matrices=False)
    return rows[scale > 1e-6 * max(scale[0], TINY)]


def require_groups(found: InferredGroups, how: str, way_out: str) -> None:
    """Refuse samples that are all in one group.

    Raises:
        UserError: naming the group.
    """
    if len(np.unique(found.groups)) < 2:
        name = found.names[found.groups[0]]
        raise UserError(f"all {len(found.groups)} samples are in one group, {name!r}, by {how}; {way_out}")
