"""Fairness of a classifier between groups: worst-group accuracy, equal opportunity, equalised odds, accuracy parity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cfray.metrics.ranking import as_array
from cfray.metrics.skew import check_groups


@dataclass(frozen=True, eq=False)
class ClassifierFairness:
    """Accuracy and gaps between A groups; fractions in [0, 1]. Gaps are the largest minus the smallest of the groups."""

    accuracy: float
    group_accuracy: np.ndarray
    """(A,)"""
    cell_accuracy: np.ndarray
    """(classes, A) accuracy in each cell of true class and group, NaN for a cell without example."""
    worst_group_accuracy: float
    """Smallest entry of group_accuracy."""
    worst_cell_accuracy: float
    """Smallest entry of cell_accuracy: the worst-group accuracy of the spurious-correlation literature (Sagawa et al. 2020)."""
    accuracy_parity_gap: float
    equal_opportunity_gap: float | None
    """None with more than two classes and no ``positive``."""
    equalised_odds_gap: float | None
    """None with more than two classes and no ``positive``."""

    def to_dict(self) -> dict[str, float | None]:
        """The numbers without the arrays, ready for JSON."""
        return {name: value for name, value in vars(self).items() if not isinstance(value, np.ndarray)}


def classifier_fairness(
    predictions: Any, labels: Any, groups: Any, *, positive: int | None = None, n_groups: int | None = None
) -> ClassifierFairness:
    """Fairness of class predictions between groups.

    With ŷ the prediction and y the label being the positive class, and groups g:

    - worst-group accuracy: min_g P(prediction = label | g), and the same over the cells (class, g);
    - accuracy parity gap: max_g - min_g of P(prediction = label | g);
    - equal-opportunity gap: max_g - min_g of P(ŷ=1 | y=1, g), for two groups |TPR_0 - TPR_1|;
    - equalised-odds gap: mean over y in {0, 1} of max_g - min_g of P(ŷ=1 | y, g).

    Args:
        predictions: (n,) integer classes.
        labels: (n,) integer classes 0..C-1.
        groups: (n,) group ids 0..A-1.
        positive: the class the last two gaps are about, against all others; 1 when the labels are 0 and 1.
        n_groups: A; the largest id + 1 when left out.

    Raises:
        ValueError: for lengths that differ, classes that are not integers from 0, groups as in ``max_skew``, or a group
            without an example of y = 1 or y = 0, for which the last two gaps are not defined.

    References:
        Hardt, Price, Srebro 2016, Equality of Opportunity in Supervised Learning (arXiv 1610.02413); Zafar et al. 2017
        (arXiv 1610.08452) for accuracy parity.
    """
    groups, sizes = check_groups(groups, n_groups)
    predictions, labels = _classes(predictions, "predictions", len(groups)), _classes(labels, "labels", len(groups))
    correct = predictions == labels
    n_groups, n_classes = len(sizes), int(labels.max()) + 1
    by_group = np.bincount(groups, weights=correct, minlength=n_groups) / sizes
    cells = _rates(correct, labels, groups, n_classes, n_groups)
    if positive is None and max(labels.max(), predictions.max()) <= 1:
        positive = 1
    opportunity = odds = None
    if positive is not None:
        truth = (labels == positive).astype(np.int64)
        rates = _rates(predictions == positive, truth, groups, 2, n_groups)
        empty = np.argwhere(np.isnan(rates))
        if empty.size:
            y, group = empty[0]
            side = "positive" if y else "negative"
            raise ValueError(
                f"group {group} has no {side} example of class {positive}; equalised odds needs one in every group"
            )
        gaps = np.ptp(rates, axis=1)
        opportunity, odds = float(gaps[1]), float(gaps.mean())
    return ClassifierFairness(
        accuracy=float(correct.mean()),
        group_accuracy=by_group,
        cell_accuracy=cells,
        worst_group_accuracy=float(by_group.min()),
        worst_cell_accuracy=float(np.nanmin(cells)),
        accuracy_parity_gap=float(np.ptp(by_group)),
        equal_opportunity_gap=opportunity,
        equalised_odds_gap=odds,
    )


def _classes(values: Any, name: str, length: int) -> np.ndarray:
    values = as_array(values)
    if values.shape != (length,) or values.dtype.kind not in "iub":
        raise ValueError(
            f"{name} have shape {values.shape} and dtype {values.dtype}; give one integer class for each of {length}"
        )
    if values.min() < 0:
        raise ValueError(f"{name} hold class {values.min()}; classes run from 0")
    return values.astype(np.int64)


def _rates(event: np.ndarray, classes: np.ndarray, groups: np.ndarray, n_classes: int, n_groups: int) -> np.ndarray:
    """(classes, A) share of ``event`` in each cell, NaN for an empty cell."""
    cell = classes * n_groups + groups
    size = n_classes * n_groups
    members = np.bincount(cell, minlength=size).astype(np.float64)
    rates = np.divide(np.bincount(cell, weights=event, minlength=size), members, out=np.full(size, np.nan), where=members > 0)
    return rates.reshape(n_classes, n_groups)
