"""What was found, in plain words: the sentences and the tiles at the top of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cfray.report.summary import (
    MeasureKey,
    before_and_after,
    measure_at,
    measure_keys,
    names_appearance,
    reduction_above_floor,
)
from cfray.report.words import accuracy_label, benchmark_label, change_in_skew, metric_label, number, percent, plain, signed


class Tile(NamedTuple):
    """A number worth a glance, what it is, and what it is made of."""

    number: str
    what: str
    detail: str


class Headline(NamedTuple):
    """One sentence of advice, the sentences that support it, and the same numbers as tiles."""

    advice: str
    findings: list[str]
    tiles: list[Tile]


def write_headline(result: Mapping) -> Headline:
    """The finding, from α = 0 against the recommended α.

    Skew is MaxSkew at its first k against the first target listed, on the first benchmark and on its held-out twin.
    """
    before, after = before_and_after(result)
    alpha = result["recommended_alpha"]
    keys = _headline_keys(before)
    main = keys[0].benchmark
    tiles = [Tile(f"α = {alpha:g}", "recommended blend", "0 is the original CLIP, 1 the fine-tuned one")]
    tiles += [_skew_tile(before, after, key) for key in keys if key.benchmark == main]
    findings = [_skew_sentence(before, after, [key for key in keys if key.benchmark == main])]
    if held_out := [key for key in keys if key.benchmark != main]:
        findings.append(_skew_sentence(before, after, held_out))
    changes = {name: 100 * (after["accuracy"][name] - value) for name, value in before["accuracy"].items()}
    first, worst = next(iter(changes)), min(changes, key=changes.__getitem__)
    tiles.append(_accuracy_tile(before, after, first))
    findings.append(f"{accuracy_label(first)}: accuracy {_moves(before, after, first)}.")
    if worst != first and changes[worst] < 0:
        tiles.append(_accuracy_tile(before, after, worst, lead="largest cost: "))
        findings.append(f"{accuracy_label(worst)}: the largest cost; accuracy {_moves(before, after, worst)}.")
    if alpha == 0:
        return Headline("Keep the original model: by the rule for choosing α no blend did better.", findings, tiles)
    return Headline(f"Use the blend at α = {alpha:g}.", findings, tiles)


def accuracy_changes(result: Mapping) -> list[tuple[str, str, str, str, bool]]:
    """Per accuracy: label, before, after, change in points, and whether more was lost than the choice of α accepts."""
    before, after = before_and_after(result)
    budget = result.get("accuracy_budget")
    return [
        (
            accuracy_label(name), percent(value), percent(after["accuracy"][name]),
            signed(100 * (after["accuracy"][name] - value)),
            budget is not None and not names_appearance(name) and value - after["accuracy"][name] > budget + 1e-9,
        )
        for name, value in before["accuracy"].items()
    ]  # fmt: skip


def _headline_keys(row: Mapping) -> list[MeasureKey]:
    keys = [key for key in measure_keys(row) if key.family == "maxskew"]
    if not keys:
        raise ValueError("result has no maxskew@K under alphas[...].fairness; evaluate MaxSkew for at least one benchmark")
    main = keys[0].benchmark
    first = {}
    for key in keys:
        if key.benchmark in (main, f"{main}_held_out") and key.target == keys[0].target:
            first.setdefault((key.benchmark, key.attribute), key)
    return list(first.values())


def _skew_tile(before: Mapping, after: Mapping, key: MeasureKey) -> Tile:
    old, new = measure_at(before, key), measure_at(after, key)
    values = f"{number(old['value'], 2)} → {number(new['value'], 2)}, floor {number(new['floor'], 2)}"
    what = f"{plain(key.attribute)} skew above the random floor, {benchmark_label(key.benchmark).lower()}"
    return Tile(change_in_skew(reduction_above_floor(old, new)), what, f"{metric_label(key.metric)} {values}")


def _accuracy_tile(before: Mapping, after: Mapping, name: str, lead: str = "") -> Tile:
    old, new = before["accuracy"][name], after["accuracy"][name]
    label = accuracy_label(name)
    what = f"{lead}{label}" if lead else f"accuracy, {label[0].lower()}{label[1:]}"
    return Tile(f"{signed(100 * (new - old))} points", what, f"{percent(old)} → {percent(new)}")


def _skew_sentence(before: Mapping, after: Mapping, keys: list[MeasureKey]) -> str:
    changes, last = [], ""
    for key in keys:
        reduction = reduction_above_floor(measure_at(before, key), measure_at(after, key))
        if reduction is None:
            verb, by = "is at the floor from the start", ""
        elif abs(reduction) < 0.005:
            verb, by = "does not change", ""
        else:
            verb, by = "rises" if reduction < 0 else "falls", f"by {percent(abs(reduction), 0)} "
        changes.append(f"{'' if verb == last else verb + ' '}{by}for {plain(key.attribute)}")
        last = verb
    return f"{benchmark_label(keys[0].benchmark)}: skew above the random floor {' and '.join(changes)}."


def _moves(before: Mapping, after: Mapping, name: str) -> str:
    share = after["accuracy"][name]
    points = 100 * (share - before["accuracy"][name])
    if abs(points) < 0.05:
        return f"stays at {percent(share)}"
    return f"{'rises' if points > 0 else 'falls'} by {number(abs(points), 1)} points, to {percent(share)}"
