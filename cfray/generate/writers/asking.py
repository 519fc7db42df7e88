"""Asks a language model for captions, round after round, until every concept has enough or the rounds are used up."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from cfray import storage
from cfray.concepts.concepts import Concept
from cfray.config import hash_of
from cfray.errors import UserError
from cfray.generate.config import WriterConfig
from cfray.generate.writers.prompt import Conversation, conversation_for, parse_captions
from cfray.generate.writers.review import fault_of

FILE = "captions.json"
Ask = Callable[[list[Conversation]], list[str]]


def collect(
    concepts: list[Concept],
    ask: Ask,
    config: WriterConfig,
    known: dict[str, list[str]],
    after_round: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Captions of all concepts.

    Args:
        concepts: the concepts to caption.
        ask: answers a list of conversations, one text each.
        config: how many captions a concept needs, and in how many rounds.
        known: captions that are there already, by concept.
        after_round: gets what there is after each round.

    Returns:
        ``captions`` {concept: [caption]}; ``rejected`` a list of concept, caption and reason; ``missing``
        {concept: how many captions it still lacks}; ``rounds``.
    """
    captions: dict[str, list[str]] = {concept.name: list(known.get(concept.name, [])) for concept in concepts}
    result: dict[str, Any] = {"captions": captions, "rejected": [], "missing": _missing(captions, config), "rounds": 0}
    while result["missing"] and result["rounds"] < config.max_rounds:
        lacking = [concept for concept in concepts if concept.name in result["missing"]]
        asked = [conversation_for(concept, result["missing"][concept.name], captions[concept.name]) for concept in lacking]
        for concept, answer in zip(lacking, ask(asked), strict=True):
            result["rejected"] += _take(concept, answer, captions[concept.name], config)
        result |= {"missing": _missing(captions, config), "rounds": result["rounds"] + 1}
        done = len(concepts) - len(result["missing"])
        print(f"[captions] round {result['rounds']}: {done} of {len(concepts)} concepts have their captions", flush=True)
        after_round(result)
    return result


def _take(concept: Concept, answer: str, captions: list[str], config: WriterConfig) -> list[dict[str, str]]:
    """Add the usable captions of an answer until there are enough; the others, with their fault."""
    rejected = []
    # A model that does not stop is not read to its end.
    for caption in parse_captions(answer)[: 2 * config.per_concept]:
        if len(captions) == config.per_concept:
            break
        fault = fault_of(caption, concept, captions)
        if fault is None:
            captions.append(caption)
        else:
            rejected.append({"concept": concept.name, "caption": caption, "reason": fault})
    return rejected


def _missing(captions: dict[str, list[str]], config: WriterConfig) -> dict[str, int]:
    return {name: config.per_concept - len(found) for name, found in captions.items() if len(found) < config.per_concept}


def written_captions(concepts: list[Concept], config: WriterConfig, place: str) -> dict[str, list[str]]:
    """Captions by the configured model, kept in ``captions.json`` at ``place`` so that a second run asks nothing.

    Raises:
        UserError: if a concept has no caption after the last round, or the model cannot be used.
    """
    file = storage.join(place, FILE)
    writer = hash_of(config.model_dump(mode="json", include={"kind", "model", "revision", "per_concept", "sampling"}))
    kept = json.loads(storage.read_bytes(file)) if storage.exists(file) else {}
    known = kept["captions"] if kept.get("writer") == writer else {}
    if all(known.get(concept.name) for concept in concepts):
        return known

    def save(result: dict[str, Any]) -> None:
        storage.write_bytes(file, (json.dumps({"writer": writer, "model": config.model} | result, indent=2) + "\n").encode())

    result = collect(concepts, ask_with(config), config, known, save)
    if result["missing"]:
        short = ", ".join(f"{name} {n}" for name, n in list(result["missing"].items())[:5])
        print(f"[captions] {len(result['missing'])} concepts lack captions ({short}); what was rejected: {file}", flush=True)
    empty = [name for name, found in result["captions"].items() if not found]
    if empty:
        raise UserError(
            f"{len(empty)} concepts have no usable caption after {result['rounds']} rounds (first: {empty[0]!r}); the rejected "
            f"ones and why are in {file}; use a larger model or raise write_captions.max_rounds"
        )
    return result["captions"]


def ask_with(config: WriterConfig) -> Ask:
    """The way to ask that the configuration names."""
    # Each needs libraries that the others do without.
    if config.kind == "http":
        from cfray.generate.writers.http import HttpWriter

        return HttpWriter(config)
    if config.kind == "vllm":
        from cfray.generate.writers.vllm import ask_vllm

        return lambda conversations: ask_vllm(config, conversations)
    from cfray.generate.writers.chat import ask_transformers

    return lambda conversations: ask_transformers(config, conversations)
