"""The neutrality check: a caption that counterfactuals share may name no appearance."""

from __future__ import annotations

import re
from functools import cache

import yaml

from cfray.concepts.appearance import find_data_file


def appearance_terms(caption: str, concepts: tuple[str, ...] = ()) -> list[str]:
    """The words of a caption that name somebody's appearance, in the order of the caption; empty for a neutral one.

    Args:
        caption: the text to check.
        concepts: nouns that stand for a person in this caption ("doctor"); words such as "black" or "young" count
            only right before one of these or before a general word for a person.
    """
    always, before_person, person, context = _lexicon()
    nouns = "|".join([person, *(re.escape(concept.lower()) for concept in concepts)])
    adjectives = rf"\b(?P<adjective>{before_person})(?=(?:[\s,]+[\w-]+)?[\s,]+(?:{nouns})\b)"
    text = context.sub(lambda match: "_" * len(match.group()), caption.lower().replace("’", "'"))
    found = [(match.start(), match.group()) for match in always.finditer(text)]
    found += [(match.start(), match.group("adjective")) for match in re.finditer(adjectives, text)]
    return [word for _, word in sorted(found)]


@cache
def _lexicon() -> tuple[re.Pattern, str, str, re.Pattern]:
    data = yaml.safe_load(find_data_file("appearance-lexicon", kind="lexicon").read_text())
    always = "|".join(_as_pattern(word) for words in data["always"].values() for word in words)
    before = "|".join(re.escape(word) for words in data["before_person"].values() for word in words)
    person = "|".join(re.escape(word) for word in data["person"])
    context = "|".join(re.escape(phrase) for phrase in data["context"])
    return re.compile(rf"(?<![\w-])(?:{always})(?![\w-])"), before, person, re.compile(rf"\b(?:{context})\b")


def _as_pattern(word: str) -> str:
    return re.escape(word[:-1]) + r"\w*" if word.endswith("*") else re.escape(word)
