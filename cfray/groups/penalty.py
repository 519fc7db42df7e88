"""The correlation penalty of arXiv 2403.10624, version 3: the outcome must not go with the relevancy of a group."""

from __future__ import annotations

import torch

EPSILON = 1e-8


def correlation(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Pearson correlation of two vectors (n,), in [-1, 1]; 0 where one of them does not vary."""
    first, second = first - first.mean(), second - second.mean()
    return (first * second).sum() / (first.norm() * second.norm()).clamp_min(EPSILON)


def correlation_penalty(
    logits: torch.Tensor, labels: torch.Tensor, relevancy: torch.Tensor, *, parity: str, positive: int | None = None
) -> torch.Tensor:
    """Mean |rho(r_g, outcome | y)| over groups g and over what the parity conditions on.

    - ``equal_opportunity``: outcome P(positive | x), over samples of the positive class;
    - ``equalised_odds``: outcome P(class | x) for every class, over the samples of each true class y;
    - ``accuracy_parity``: outcome P(true class | x), over all samples.

    Args:
        logits: (n, C).
        labels: (n,) int64.
        relevancy: (n, G), rows sum to 1.
        parity: see above.
        positive: the class of equal opportunity; needed with it.

    Returns:
        A scalar in [0, 1]; 0 where fewer than two samples are left to correlate.
    """
    probabilities = logits.softmax(dim=1)
    if parity == "accuracy_parity":
        own = probabilities.gather(1, labels[:, None])[:, 0]
        terms = [correlation(r, own) for r in relevancy.T]
    else:
        classes = [positive] if parity == "equal_opportunity" else labels.unique().tolist()
        outcomes = [positive] if parity == "equal_opportunity" else range(logits.shape[1])
        given = [rows for y in classes if len(rows := (labels == y).nonzero()[:, 0]) > 1]
        terms = [correlation(r[rows], probabilities[rows, c]) for rows in given for c in outcomes for r in relevancy.T]
    return torch.stack(terms).abs().mean() if terms else logits.sum() * 0
