"""How varied a collection of images is, and how much one of its labels tells about another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cfray.metrics.ranking import as_array, normalise


def vendi_score(features: Any) -> float:
    """The effective number of different items, from 1 (all alike) to n (all at right angles).

    exp(-Σ λ ln λ) over the eigenvalues λ of K / n, K the matrix of cosines (Friedman and Dieng 2023, arXiv 2210.02410).

    Args:
        features: (n, d), one row per item; rows need not be normalised.

    Raises:
        ValueError: for no row, or a row that is zero or not finite.
    """
    rows = as_array(features).astype(np.float64)
    if rows.ndim != 2 or not len(rows):
        raise ValueError(f"features has shape {rows.shape}; give (n, d) with at least one row")
    rows = normalise(rows)
    # K / n and the smaller of X Xᵀ / n and Xᵀ X / n have the same eigenvalues above 0.
    gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    values = np.linalg.eigvalsh(gram / len(rows))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


@dataclass(frozen=True)
class SharedInformation:
    """Mutual information of two labels of the same items, in nats."""

    value: float
    """I(A; B) of the observed shares; at least 0, and above 0 by chance in any finite sample."""
    floor: float
    """Its mean over random permutations of one label: what two labels that have nothing to do with each other show."""
    entropy: float
    """H(B), the most that A can tell about B."""


def mutual_information(a: Sequence, b: Sequence, *, permutations: int = 200, seed: int = 0) -> SharedInformation:
    """What label ``a`` of an item tells about its label ``b``: Σ p(a, b) ln(p(a, b) / (p(a) p(b))), natural logarithm.

    Raises:
        ValueError: for no item, or if there are not as many of ``a`` as of ``b``.
    """
    if len(a) != len(b) or not len(a):
        raise ValueError(f"{len(a)} labels a and {len(b)} labels b; give one of each for at least one item")
    first, second = (np.unique(np.asarray(labels, dtype=str), return_inverse=True)[1] for labels in (a, b))
    rng = np.random.default_rng(seed)
    by_chance = [_information(first, rng.permutation(second)) for _ in range(permutations)]
    return SharedInformation(_information(first, second), float(np.mean(by_chance)), _entropy(np.bincount(second)))


def _information(first: np.ndarray, second: np.ndarray) -> float:
    joint = np.bincount(first * (second.max() + 1) + second)
    return max(0.0, _entropy(np.bincount(first)) + _entropy(np.bincount(second)) - _entropy(joint))


def _entropy(counts: np.ndarray) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
