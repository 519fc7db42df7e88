"""The review of written captions: usable ones name their concept, no appearance, and are unlike each other."""

from __future__ import annotations

import re

from cfray.concepts.concepts import Concept
from cfray.concepts.neutrality import appearance_terms

WORDS = (4, 40)
# Two captions whose sets of word pairs overlap (Jaccard) by this share or more say the same.
NEAR_DUPLICATE = 0.7


def fault_of(caption: str, concept: Concept, accepted: list[str]) -> str | None:
    """Why a caption cannot be used, in a few words; None if it can."""
    if not concept.named_in(caption):
        return f"does not contain {concept.with_article!r}"
    if terms := appearance_terms(caption, (concept.name,)):
        return f"names appearance ({', '.join(terms)})"
    words = len(caption.split())
    if not WORDS[0] <= words <= WORDS[1]:
        return f"has {words} words; {WORDS[0]} to {WORDS[1]} are allowed"
    for other in accepted:
        if similarity(caption, other) >= NEAR_DUPLICATE:
            return f"says the same as {other!r}"
    return None


def similarity(first: str, second: str) -> float:
    """Jaccard similarity of the sets of words and of adjacent pairs of words, whatever their case, in [0, 1]."""
    a, b = _shingles(first), _shingles(second)
    return len(a & b) / len(a | b)


def _shingles(caption: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[\w'-]+", caption.lower())
    return {(word,) for word in words} | set(zip(words, words[1:], strict=False))
