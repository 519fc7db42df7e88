"""Names and numbers as a reader sees them: labels for the keys of a result, signs, percentages, durations."""

from __future__ import annotations

_METRICS = {"maxskew": "MaxSkew", "minskew": "MinSkew", "ndkl": "NDKL"}
_MINUS = "\u2212"
_NARROW_SPACE = "\u202f"


def plain(key: str) -> str:
    """``skin_tone`` as ``skin tone``."""
    return key.replace("_", " ").strip()


def benchmark_label(key: str) -> str:
    """``people_in_scenes_held_out`` as ``People in scenes, held-out concepts``."""
    stem = key.removesuffix("_held_out")
    return plain(stem).capitalize() + (", held-out concepts" if stem != key else "")


def metric_label(key: str, *, magnitude: bool = False) -> str:
    """``minskew@100`` as ``MinSkew@100``, or ``|MinSkew@100|`` where its absolute value is shown."""
    family, at, k = key.partition("@")
    label = f"{_METRICS.get(family, family)}{at}{k}"
    return f"|{label}|" if magnitude and family == "minskew" else label


def accuracy_label(key: str) -> str:
    """``zero_shot_things`` as ``Zero-shot, things``; ``recall@5_appearance`` as ``R@5, appearance captions``."""
    if key.startswith("zero_shot_"):
        return f"Zero-shot, {plain(key.removeprefix('zero_shot_'))}"
    if key.startswith("recall@"):
        k, _, what = key.removeprefix("recall@").partition("_")
        return f"R@{k}, {plain(what)}" + ("" if "_to_" in what else " captions")
    return plain(key).capitalize()


def number(value: float, decimals: int = 3) -> str:
    """A number with a true minus sign; what rounds to zero has no sign."""
    text = f"{abs(value):.{decimals}f}"
    return f"{_MINUS}{text}" if value < 0 and float(text) else text


def signed(value: float, decimals: int = 1) -> str:
    """A change, with its sign unless it rounds to zero."""
    text = number(value, decimals)
    return f"+{text}" if value > 0 and float(text) else text


def percent(share: float, decimals: int = 1) -> str:
    """A share in [0, 1] as a percentage."""
    return f"{number(100 * share, decimals)}{_NARROW_SPACE}%"


def change_in_skew(reduction: float | None) -> str:
    """A reduction above the floor as the change it is: 0.81 as ``−81 %``; None as ``at floor``."""
    return "at floor" if reduction is None else f"{signed(-100 * reduction, 0)}{_NARROW_SPACE}%"


def duration(seconds: float) -> str:
    """Seconds as ``4.2 s``, ``3 min 12 s`` or ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
