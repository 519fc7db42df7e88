"""Concepts: what images are ranked for. A concepts file lists them with a split and, optionally, context facets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache

import yaml

from cfray.concepts.appearance import find_data_file

SPLITS = ("trained", "held_out")
KINDS = ("profession", "activity")


@dataclass(frozen=True)
class Concept:
    """One concept, for example ``doctor``; ``facets`` are phrases of its context by name (place, attire, tool).

    ``kind`` is ``profession`` for a noun and ``activity`` for what a person does ("cooking").
    """

    name: str
    split: str = "trained"
    facets: dict[str, str] = field(default_factory=dict)
    kind: str = "profession"

    @property
    def with_article(self) -> str:
        """How a caption names the concept: "a doctor", "a person cooking"."""
        return f"a person {self.name}" if self.kind == "activity" else f"{article_of(self.name)} {self.name}"

    def person(self, words: str) -> str:
        """A person of given appearance in the place of ``with_article``: "an old woman, a doctor", "an old woman cooking"."""
        return f"{words} {self.name}" if self.kind == "activity" else f"{words}, {self.with_article}"

    def named_in(self, caption: str) -> bool:
        """Whether a caption has the concept with its article, as whole words."""
        return self.pattern.search(caption) is not None

    @property
    def pattern(self) -> re.Pattern:
        return re.compile(rf"(?<!\w){re.escape(self.with_article)}(?!\w)")


def article_of(noun: str) -> str:
    """The indefinite article of a noun by its sound, as far as spelling tells: "a university teacher", "an MRI technician"."""
    first = noun.split()[0].split("-")[0]
    if first.isupper() and len(first) > 1 or len(first) == 1:
        return "an" if first[0].upper() in "AEFHILMNORSX" else "a"
    if re.match(r"(uni(?!n)|use|usu|ut[ei]l|eu|one|once)", first.lower()):
        return "a"
    return "an" if re.match(r"([aeiou]|hour|honest|heir|honou?r)", first.lower()) else "a"


@cache
def load_concepts(name: str) -> tuple[Concept, ...]:
    """Read a concepts file: the path of a YAML file, or the name of one that ships with cfray.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file has no concept, names one twice or has an unknown split.
    """
    path = find_data_file(name, kind="concepts")
    data = yaml.safe_load(path.read_text()) or {}
    rows, kind = data.get("concepts") or [], data.get("kind", "profession")
    if not rows:
        raise ValueError(f"concepts file {name!r} has no concept; list at least one under 'concepts:'")
    if kind not in KINDS:
        raise ValueError(f"concepts file {name!r} has kind={kind!r}; use {' or '.join(KINDS)}")
    concepts = tuple(_concept(row, name, kind) for row in rows)
    names = [concept.name for concept in concepts]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise ValueError(f"concepts file {name!r} names {', '.join(map(repr, twice))} more than once; keep one of each")
    return concepts


def _concept(row: str | dict, source: str, kind: str) -> Concept:
    if isinstance(row, str):
        return Concept(row, kind=kind)
    facets = {key: str(value) for key, value in row.items() if key not in ("name", "split")}
    concept = Concept(str(row["name"]), row.get("split", "trained"), facets, kind)
    if concept.split not in SPLITS:
        raise ValueError(f"concept {concept.name!r} in {source!r} has split={concept.split!r}; use {' or '.join(SPLITS)}")
    return concept
