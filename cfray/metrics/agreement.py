"""How well inferred groups agree with true ones, where true ones are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cfray.metrics.ranking import as_array
from cfray.metrics.skew import check_groups


@dataclass(frozen=True)
class GroupAgreement:
    """Agreement of inferred with true groups; inferred ids carry no meaning, so all four ignore how they are numbered."""

    accuracy: float
    """Share of items in the right group after the best one-to-one matching, 0 to 1."""
    adjusted_rand: float
    """1 for equal partitions, about 0 for unrelated ones, at least -0.5."""
    normalised_mutual_information: float
    """0 to 1, normalised by the arithmetic mean of the entropies."""
    minority_recall: float
    """Share of the smallest true group that is in its matched group; 0 if no inferred group is matched to it."""
    matching: dict[int, int]
    """Inferred group to true group. With more inferred than true groups the rest is unmatched and counts as wrong."""

    def to_dict(self) -> dict[str, float]:
        """The four numbers, ready for JSON."""
        return {name: value for name, value in vars(self).items() if name != "matching"}


def group_agreement(inferred: Any, true: Any) -> GroupAgreement:
    """Compare inferred with true groups of the same items.

    Accuracy is max over one-to-one matchings of (1/n) Σ_a |inferred m(a) and true a| (Hungarian algorithm). The adjusted Rand
    index is by Hubert and Arabie 1985, mutual information as in scikit-learn.

    Args:
        inferred: (n,) integer ids from 0; gaps and one group only are allowed, because clusterings end that way.
        true: (n,) group ids 0..A-1, at least two groups. The smallest is the minority, the lower id on ties.

    Raises:
        ValueError: if the lengths differ or the ids are no group ids.
    """
    # Both take a second or more to import, and rankings need neither.
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    true, sizes = check_groups(true)
    inferred = as_array(inferred)
    if inferred.shape != true.shape or inferred.dtype.kind not in "iub" or inferred.min() < 0:
        raise ValueError(
            f"inferred has shape {inferred.shape} and dtype {inferred.dtype}; give an id from 0 up for each item of {len(true)}"
        )
    names, inferred = np.unique(inferred, return_inverse=True)
    n_groups = len(sizes)
    table = np.bincount(inferred * n_groups + true, minlength=len(names) * n_groups).reshape(-1, n_groups)
    rows, columns = linear_sum_assignment(table, maximize=True)
    right = np.zeros(n_groups)
    right[columns] = table[rows, columns]
    minority = int(sizes.argmin())
    return GroupAgreement(
        accuracy=float(right.sum() / len(true)),
        adjusted_rand=float(adjusted_rand_score(true, inferred)),
        normalised_mutual_information=float(normalized_mutual_info_score(true, inferred)),
        minority_recall=float(right[minority] / sizes[minority]),
        matching={int(names[row]): int(column) for row, column in zip(rows, columns, strict=True)},
    )
