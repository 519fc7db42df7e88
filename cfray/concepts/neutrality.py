"""The neutrality check: a caption that counterfactuals share may name no appearance."""

from __future__ import annotations

import re
from dataclasses import dataclass
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
    lexicon = _lexicon()
    nouns = "|".join([lexicon.person, *(re.escape(concept.lower()) for concept in concepts)])
    adjectives = rf"\b(?P<adjective>{lexicon.before_person})(?=(?:[\s,]+[\w-]+)?[\s,]+(?:{nouns})\b)"
    caption = caption.replace("’", "'")
    text = lexicon.context.sub(lambda match: "_" * len(match.group()), caption.lower())
    found = [(match.start(), match.group()) for match in lexicon.always.finditer(text)]
    found = [(start, word) for start, word in found if word not in lexicon.exceptions]
    found += [(match.start(), match.group("adjective")) for match in re.finditer(adjectives, text)]
    found += [(match.start(), match.group()) for match in lexicon.names.finditer(caption)]
    return [word for _, word in sorted(found)]


@dataclass(frozen=True)
class _Lexicon:
    always: re.Pattern
    exceptions: frozenset[str]
    names: re.Pattern
    before_person: str
    person: str
    context: re.Pattern


@cache
def _lexicon() -> _Lexicon:
    data = yaml.safe_load(find_data_file("appearance-lexicon", kind="lexicon").read_text())
    always = "|".join(_as_pattern(word) for words in data["always"].values() for word in words)
    context = "|".join(re.escape(phrase) for phrase in data["context"])
    return _Lexicon(
        re.compile(rf"(?<![\w-])(?:{always})(?![\w-])"),
        frozenset(data["except"]),
        re.compile(rf"\b(?:{'|'.join(data['names'])})\b(?!\s+(?:{'|'.join(data['place_words'])})\b)"),
        "|".join(re.escape(word) for words in data["before_person"].values() for word in words),
        "|".join(re.escape(word) for word in data["person"]),
        re.compile(rf"\b(?:{context})\b"),
    )


def _as_pattern(word: str) -> str:
    body = re.escape(word.strip("*"))
    return (r"[\w-]*" if word.startswith("*") else "") + body + (r"\w*" if word.endswith("*") else "")
