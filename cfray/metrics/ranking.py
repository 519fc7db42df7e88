"""From scores to rankings: cosine similarity, the best k of each query, the rank of one item. Ties go to the lower index."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np


def as_array(values: Any) -> np.ndarray:
    """A NumPy view of an array, a sequence or a Torch tensor (any device, gradient or not, bfloat16 as float32)."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # NumPy has no bfloat16, and float32 holds both half types exactly.
        values = (values.float() if values.is_floating_point() and values.element_size() < 4 else values).numpy()
    return np.asarray(values)


def normalise(features: Any, name: str = "features") -> np.ndarray:
    """Features divided by their L2 norm.

    Args:
        features: (..., d).
        name: what the rows are, for the error.

    Returns:
        (..., d) of unit norm, float64 for float64 input and float32 otherwise.

    Raises:
        ValueError: if a row is zero or not finite, because then it has no direction.
    """
    features = as_array(features)
    features = features.astype(np.float64 if features.dtype == np.float64 else np.float32, copy=False)
    norms = np.linalg.norm(features, axis=-1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if bad.size:
        raise ValueError(f"{bad.size} of {norms.size} {name} are zero or not finite, first at {bad[0]}; leave them out")
    return features / norms


def similarity(queries: Any, gallery: Any, *, normalize: bool = True) -> np.ndarray:
    """Scores of every query against every gallery item.

    Args:
        queries: (Q, d) embeddings, usually of texts.
        gallery: (n, d) embeddings, usually of images.
        normalize: cosine similarity. False gives the raw dot product, by which the released code of Berg et al. 2022
            (arXiv 2203.11933) ranks, so that published numbers can be compared.

    Returns:
        (Q, n) scores, in [-1, 1] when normalised.

    Raises:
        ValueError: if the dimensions differ, or a row to be normalised is zero or not finite.
    """
    queries, gallery = as_array(queries), as_array(gallery)
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise ValueError(f"queries {queries.shape} and gallery {gallery.shape} must be (Q, d) and (n, d) with one d")
    if normalize:
        queries, gallery = normalise(queries, "queries"), normalise(gallery, "gallery items")
    return queries @ gallery.T


def check_k(k: Any, n: int, what: str = "gallery") -> int:
    """``k`` as an int in 1..n; ValueError if it is missing, no whole number, below 1 or larger than the ``what`` of n."""
    if k is None:
        raise ValueError(f"k is missing; give a k from 1 to {n}, there is no default")
    if not isinstance(k, Integral) or isinstance(k, bool):
        raise ValueError(f"k={k!r} is not a whole number; give a k from 1 to {n}")
    if k < 1:
        raise ValueError(f"k={k} is below 1; give a k from 1 to {n}")
    if k > n:
        raise ValueError(f"k={k} is larger than the {what} of {n}; lower k")
    return int(k)


def check_scores(scores: Any, *, rows: str = "query", columns: str = "image") -> np.ndarray:
    """Scores as a 2-D array of float32 or float64.

    Raises:
        ValueError: if the array is not 2-D, has no row or no column, or holds NaN; ``rows`` and ``columns`` name the axes.
    """
    scores = as_array(scores)
    if scores.ndim != 2:
        raise ValueError(f"scores have shape {scores.shape}; give one row per {rows} and one column per {columns}")
    for size, name in zip(scores.shape, (rows, columns), strict=True):
        if not size:
            raise ValueError(f"scores have shape {scores.shape}, that is no {name}; give at least one")
    if scores.dtype not in (np.float32, np.float64):
        scores = scores.astype(np.float32 if scores.dtype == np.float16 else np.float64)
    # max() passes NaN on and, unlike isnan(), needs no second array of this size.
    if np.isnan(scores.max(axis=1)).any():
        where = np.argwhere(np.isnan(scores))
        raise ValueError(
            f"scores hold {len(where)} NaN of {scores.size}, first at {rows} {where[0][0]}, {columns} {where[0][1]}; "
            "look for unreadable images or a diverged model"
        )
    return scores


def check_indices(values: Any, length: int, below: int, *, row: str, target: str) -> np.ndarray:
    """One index 0..below-1 per row as int64; the ValueError for anything else names ``row`` and ``target``, both singular."""
    values = as_array(values)
    if values.shape != (length,) or values.dtype.kind not in "iu":
        raise ValueError(
            f"{target} indices have shape {values.shape} and dtype {values.dtype}; give one integer for each {row} of {length}"
        )
    outside = np.flatnonzero((values < 0) | (values >= below))
    if outside.size:
        raise ValueError(f"{row} {outside[0]} has {target} {values[outside[0]]}; with {below} they run from 0 to {below - 1}")
    return values.astype(np.int64)


def rank_top_k(scores: Any, *, k: int) -> np.ndarray:
    """The k best items of each query, best first, ties by index.

    Args:
        scores: (Q, n).
        k: 1..n.

    Returns:
        (Q, k) int64 indices into the gallery. Memory beyond that is one row of scores.

    Raises:
        ValueError: for scores without a query or with NaN, or k outside 1..n.
    """
    scores = check_scores(scores)
    n = scores.shape[1]
    k = check_k(k, n)
    top = np.empty((len(scores), k), dtype=np.int64)
    for query, row in enumerate(scores):
        candidates = _candidates(row, k)
        top[query] = candidates[np.argsort(-row[candidates], kind="stable")[:k]]
    return top


def _candidates(row: np.ndarray, k: int) -> np.ndarray:
    """Ascending indices of at least the k best scores of a row (n,), all ties of the last of them included."""
    # The score that about 2k + 1000 items reach is read off every 32nd item, which is ten times cheaper than a full partition.
    sample = row[::32]
    place = k // 16 + 32
    if place <= len(sample):
        candidates = np.flatnonzero(row >= -np.partition(-sample, place - 1)[place - 1])
        if len(candidates) >= k:
            return candidates
    return np.flatnonzero(row >= np.partition(row, len(row) - k)[len(row) - k])


def rank_of(scores: np.ndarray, item: np.ndarray) -> np.ndarray:
    """The rank (0 = best) of one item per row, ties by index.

    Args:
        scores: (Q, n) floats without NaN.
        item: (Q,) index of the item in each row.

    Returns:
        (Q,) int64 ranks in 0..n-1.
    """
    ranks = np.empty(len(scores), dtype=np.int64)
    for query, row in enumerate(scores):
        at = item[query]
        ranks[query] = np.count_nonzero(row > row[at]) + np.count_nonzero(row[:at] == row[at])
    return ranks
