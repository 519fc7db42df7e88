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


def soft_clusters(points: np.ndarray, *, method: Literal["kmeans", "gmm"], n_groups: int | None, seed: int) -> np.ndarray:
    """Soft clusters of points (n, d): relevancy (n, G), rows sum to 1.

    k-means gives the posterior of equal spherical Gaussians around its centres, a Gaussian mixture its own. Without
    ``n_groups`` the mixture has the number of components from 1 to ``MAX_CLUSTERS`` with the least Bayesian information
    criterion (Schwarz 1978).

    Raises:
        UserError: if ``n_groups`` is below 2 or above n, or left out for ``kmeans``.
    """
    # A second to import, and groups by the most similar value need neither.
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    n = len(points)
    if n_groups is None and method == "kmeans":
        raise UserError("kmeans needs n_groups; only a Gaussian mixture (gmm) chooses its own number, by BIC")
    if n_groups is not None and not 2 <= n_groups <= n:
        raise UserError(f"n_groups={n_groups} is not between 2 and the number of samples, {n}")
    # Unit variance, because the mixture regularises covariances by an absolute amount.
    points = points.astype(np.float64)
    points = points / max(points.std(), TINY)
    if method == "kmeans":
        centres = KMeans(n_groups, n_init=10, random_state=seed).fit(points).cluster_centers_
        distances = ((points[:, None, :] - centres) ** 2).sum(axis=2)
        variance = distances.min(axis=1).mean() / points.shape[1]
        return softmax(-distances / (2 * max(variance, TINY)), axis=1)
    counts = range(1, min(MAX_CLUSTERS, n) + 1) if n_groups is None else (n_groups,)
    fits = [GaussianMixture(count, n_init=3, random_state=seed).fit(points) for count in counts]
    return min(fits, key=lambda fit: fit.bic(points)).predict_proba(points)


def appearance_clusters(
    images: Any, directions: Any, *, n_groups: int | None = None, dimensions: int = 8, seed: int = 0
) -> InferredGroups:
    """Clusters of image embeddings after what makes the concept is projected out.

    The normalised embeddings lose their part in the span of ``directions`` and are reduced to their first principal components;
    a Gaussian mixture over those gives the groups. What is left is background as well as appearance, so look at the clusters.

    Args:
        images: (n, d) embeddings.
        directions: (m, d), such as ``concept_directions`` or the text embedding of the concept; m may be 0.
        n_groups: number of clusters; by BIC when left out.
        dimensions: principal components.
        seed: of the clustering.

    Raises:
        UserError: if the shapes do not fit, the directions leave nothing, or all images end in one cluster.
    """
    images, directions = as_array(images), as_array(directions)
    if images.ndim != 2 or directions.ndim != 2 or images.shape[1] != directions.shape[1]:
        raise UserError(f"images {images.shape} and directions {directions.shape} must be (n, d) and (m, d) with one d")
    centred = project_out(normalise(images, "images"), directions)
    centred = centred - centred.mean(axis=0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    kept = min(dimensions, int((scale > 1e-6 * max(scale[0], 1e-6)).sum()))
    if not kept:
        raise UserError(f"{len(images)} images have nothing left to cluster once {len(directions)} directions are out")
    relevancy = soft_clusters(left[:, :kept] * scale[:kept], method="gmm", n_groups=n_groups, seed=seed)
    relevancy = relevancy[:, np.argsort(-relevancy.sum(axis=0), kind="stable")]
    found = InferredGroups(relevancy.argmax(axis=1), relevancy, tuple(f"cluster {i + 1}" for i in range(relevancy.shape[1])))
    require_groups(found, "clusters of the embeddings", "give n_groups, fewer directions or more images")
    return found


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


def project_out(points: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Points (n, d) less their part in the span of ``directions`` (m, d)."""
    if not len(directions):
        return points
    _, scale, rows = np.linalg.svd(directions, full_matrices=False)
    basis = rows[scale > 1e-6 * max(scale[0], TINY)]
    return points - points @ basis.T @ basis


def require_groups(found: InferredGroups, how: str, way_out: str) -> None:
    """Refuse samples that are all in one group.

    Raises:
        UserError: naming the group.
    """
    if len(np.unique(found.groups)) < 2:
        name = found.names[found.groups[0]]
        raise UserError(f"all {len(found.groups)} samples are in one group, {name!r}, by {how}; {way_out}")
