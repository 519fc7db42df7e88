"""Which variants and which sets are kept, from what was measured and the recipe's thresholds."""

from __future__ import annotations

from collections import Counter
from typing import Any

from cfray.concepts.appearance import Appearances
from cfray.dataset.schema import KEPT
from cfray.generate.config import ChecksConfig


def variant_status(
    requested: dict[str, str],
    measured: dict[str, Any],
    base_similarity: float | None,
    appearances: Appearances,
    config: ChecksConfig,
) -> str:
    """``kept`` or ``rejected:<the first check that fails>``; what was not measured (None) fails nothing.

    Args:
        requested: value names by axis.
        measured: the columns of ``VARIANT_CHECKS``.
        base_similarity: the cosine of base and caption.
    """
    gender = measured.get("gender_read")
    failed = (
        name
        for name, fails in (
            ("context", _above(measured.get("context_drift"), 0)),
            ("unsafe", bool(measured.get("unsafe"))),
            ("no_person", config.person is not None and _below(measured.get("person_iou"), config.person.min_iou)),
            ("blur", _below(measured.get("sharpness"), config.min_sharpness)),
            ("skin_tone", _tone_off(requested, measured.get("skin_tone_read"), appearances, config.skin_tone_tolerance)),
            ("gender", gender is not None and requested.get("gender") not in (None, gender)),
            ("skin_pixels", _tone_off(requested, measured.get("skin_tone_pixels"), appearances, config.skin_pixels_tolerance)),
            *(
                (f"clip_{read['axis']}", _below(read["requested_probability"], config.clip.min_probability[read["axis"]]))
                for read in measured.get("clip_read") or []
            ),
            ("concept", _concept_lost(measured.get("concept_similarity"), base_similarity, config)),
        )
        if fails
    )
    name = next(failed, None)
    return KEPT if name is None else f"rejected:{name}"


def imbalance(requested: list[dict[str, str]], kept: list[dict[str, str]]) -> float:
    """How far the most missed appearance's share fell: the maximum over axes and values of its share of the requested
    people less its share of the kept ones, in [0, 1]; 1 where nobody is kept."""
    if not kept:
        return 1.0
    worst = 0.0
    for axis in requested[0]:
        asked, left = Counter(person[axis] for person in requested), Counter(person[axis] for person in kept)
        worst = max(worst, *(n / len(requested) - left[value] / len(kept) for value, n in asked.items()))
    return worst


def _tone_off(requested: dict[str, str], tone: int | None, appearances: Appearances, tolerance: int | None) -> bool:
    if tone is None or tolerance is None or requested.get("skin_tone") is None:
        return False
    asked = appearances.axes["skin_tone"].values[requested["skin_tone"]].monk
    return asked is not None and abs(asked - tone) > tolerance


def _concept_lost(similarity: float | None, base: float | None, config: ChecksConfig) -> bool:
    if similarity is None or base is None or config.clip is None or config.clip.concept_margin is None:
        return False
    return similarity < base - config.clip.concept_margin


def _below(value: float | None, threshold: float | None) -> bool:
    return value is not None and threshold is not None and value < threshold


def _above(value: float | None, threshold: float | None) -> bool:
    return value is not None and threshold is not None and value > threshold
