"""Trade-offs among models: the Pareto front, its hypervolume, its knee, and the choice under a constraint. NumPy only.

All objectives are to be small here; what is to be large comes in with its sign turned.
"""

from __future__ import annotations

import numpy as np


def pareto_front(points: np.ndarray) -> np.ndarray:
    """Which of the points (n, d) no other point dominates: boolean (n,).

    A point dominates another if it is at most as large in every objective and smaller in one. Equal points are on the front
    together. A point with a NaN is never on it and dominates none.
    """
    points = np.asarray(points, dtype=float)
    valid = ~np.isnan(points).any(axis=1)
    front = valid.copy()
    for i in np.flatnonzero(valid):
        others = points[valid]
        front[i] = not ((others <= points[i]).all(axis=1) & (others < points[i]).any(axis=1)).any()
    return front


def hypervolume(points: np.ndarray, reference: np.ndarray) -> float:
    """The volume that the points (n, 2 or 3) dominate below ``reference`` (d,), in the product of their units.

    Points that are not below the reference in every objective add nothing.

    Raises:
        ValueError: for another number of objectives.
    """
    points, reference = np.atleast_2d(np.asarray(points, dtype=float)), np.asarray(reference, dtype=float)
    dimensions = len(reference)
    if dimensions not in (2, 3) or points.shape[1] != dimensions:
        raise ValueError(f"hypervolume is of 2 or 3 objectives, not of points {points.shape} below {dimensions}")
    points = points[(points < reference).all(axis=1)]
    points = points[pareto_front(points)]
    if not len(points):
        return 0.0
    if dimensions == 2:
        return _area(points, reference)
    # Slices between neighbouring values of the last objective: in each, the points below it dominate one area.
    points = points[np.argsort(points[:, 2])]
    heights = np.diff(np.append(points[:, 2], reference[2]))
    areas = [_area(points[: i + 1, :2], reference[:2]) for i in range(len(points))]
    return float(np.dot(areas, heights))


def knee_point(points: np.ndarray) -> int:
    """The index of the front's knee among points (n, 2): the one farthest below the line between the front's ends.

    Both objectives are scaled to the range of the front first. On a front of one or two points it is the one nearest to the
    ideal corner.

    Raises:
        ValueError: if no point is on the front.
    """
    points = np.asarray(points, dtype=float)
    on_front = np.flatnonzero(pareto_front(points))
    if not len(on_front):
        raise ValueError("there is no point without a NaN, so there is no front and no knee")
    front = points[on_front]
    spread = np.ptp(front, axis=0)
    scaled = (front - front.min(axis=0)) / np.where(spread > 0, spread, 1.0)
    # The ends of a scaled front are (0, 1) and (1, 0), so the distance from their line grows as the sum falls.
    if len(front) <= 2:
        return int(on_front[np.argmin(np.linalg.norm(scaled, axis=1))])
    return int(on_front[np.argmin(scaled.sum(axis=1))])


def choose(skew: np.ndarray, lost: np.ndarray, max_lost: float) -> int | None:
    """The index of least skew (n,) among those that lose at most ``max_lost``; ties go to the smaller loss. None if none do."""
    skew, lost = np.asarray(skew, dtype=float), np.asarray(lost, dtype=float)
    # Rounded, so that exactly as much as allowed still qualifies in floating point.
    allowed = np.flatnonzero((np.round(lost, 9) <= max_lost) & ~np.isnan(skew))
    return int(min(allowed, key=lambda i: (skew[i], lost[i]))) if len(allowed) else None


def _area(points: np.ndarray, reference: np.ndarray) -> float:
    points = points[np.lexsort((points[:, 1], points[:, 0]))]
    area, lowest = 0.0, reference[1]
    for x, y in points:
        if y < lowest:
            area += (reference[0] - x) * (lowest - y)
            lowest = y
    return float(area)
