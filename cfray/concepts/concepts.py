"""Concepts: what images are ranked for. A concepts file lists them with a split and, optionally, context facets."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import yaml

from cfray.concepts.appearance import find_data_file

SPLITS = ("trained", "held_out")


@dataclass(frozen=True)
class Concept:
    """One concept, for example ``doctor``; ``facets`` are phrases of its context by name (place, attire, tool)."""

    name: str
    split: str = "trained"
    facets: dict[str, str] = field(default_factory=dict)

    @property
    def with_article(self) -> str:
        return f"{'an' if self.name[0].lower() in 'aeiou' else 'a'} {self.name}"


@cache
def load_concepts(name: str) -> tuple[Concept, ...]:
    """Read a concepts file: the path of a YAML file, or the name of one that ships with cfray.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file has no concept, names one twice or has an unknown split.
    """
    path = find_data_file(name, kind="concepts")
    rows = (yaml.safe_load(path.read_text()) or {}).get("concepts") or []
    if not rows:
        raise ValueError(f"concepts file {name!r} has no concept; list at least one under 'concepts:'")
    concepts = tuple(_concept(row, name) for row in rows)
    names = [concept.name for concept in concepts]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise ValueError(f"concepts file {name!r} names {', '.join(map(repr, twice))} more than once; keep one of each")
    return concepts


def _concept(row: str | dict, source: str) -> Concept:
    if isinstance(row, str):
        return Concept(row)
    facets = {key: str(value) for key, value in row.items() if key not in ("name", "split")}
    concept = Concept(str(row["name"]), row.get("split", "trained"), facets)
    if concept.split not in SPLITS:
        raise ValueError(f"concept {concept.name!r} in {source!r} has split={concept.split!r}; use {' or '.join(SPLITS)}")
    return concept
