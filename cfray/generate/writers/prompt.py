"""What a language model is asked for a concept's captions, and how its answer is read."""

from __future__ import annotations

import re

from cfray.concepts.concepts import Concept

Message = dict[str, str]
Conversation = list[Message]

_SYSTEM = (
    "You write captions of photographs. Each caption is one line in plain English of 6 to 25 words: no numbering, no "
    "quotation marks, no explanation. A caption describes what surrounds a person and what they do: the place, the tools, "
    "the clothes, the activity. It never says or hints how the person looks: no gender, no pronoun such as he or she, no "
    "race, skin, nationality, age, body, hair, name or religion."
)
_BULLET = re.compile(r"^\s*(?:[-*•–]|\(?\d{1,3}[.):])\s+")
_QUOTES = "\"'“”‘’`*"


def conversation_for(concept: Concept, count: int, known: list[str]) -> Conversation:
    """The messages that ask for ``count`` captions of a concept unlike the ``known`` ones."""
    ask = (
        f"Write {count} different captions of photographs of {concept.with_article}. "
        f'Every caption contains the words "{concept.with_article}". One caption per line.'
    )
    if known:
        ask += " They must differ clearly from these:\n" + "\n".join(known[-20:])
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": ask}]


def parse_captions(answer: str) -> list[str]:
    """The captions in an answer: its lines without bullets, numbers, quotes and a final full stop."""
    lines = (_BULLET.sub("", line).strip().strip(_QUOTES).strip() for line in answer.splitlines())
    # "A doctor ..." begins a sentence; in the middle of a prompt it is "a doctor ...".
    lines = (re.sub(r"^An?\b", lambda article: article.group().lower(), line) for line in lines)
    return [re.sub(r"\s+", " ", line.rstrip(".")) for line in lines if line]
