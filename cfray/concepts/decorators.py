"""Decorators: words after a caption that vary the base image (camera, light, framing, place) and name no appearance."""

from __future__ import annotations

from functools import cache

import numpy as np
import yaml

from cfray.concepts.appearance import find_data_file
from cfray.concepts.neutrality import appearance_terms


@cache
def load_decorators(name: str) -> dict[str, list[str]]:
    """Phrases by kind from a decorators file: a path, or the name of one that ships with cfray.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a kind is empty or a phrase names an appearance.
    """
    data = yaml.safe_load(find_data_file(name, kind="decorators").read_text()) or {}
    for kind, phrases in data.items():
        if not isinstance(phrases, list) or not phrases:
            raise ValueError(f"decorators file {name!r} has no phrase for {kind!r}; list at least one")
        for phrase in phrases:
            if terms := appearance_terms(phrase):
                raise ValueError(f"decorator {phrase!r} in {name!r} names appearance ({', '.join(terms)}); reword it")
    return data


def decorate(prompt: str, decorators: dict[str, list[str]], use: list[str], rng: np.random.Generator) -> str:
    """The prompt with one phrase of each used kind after it, drawn at random; an empty phrase adds nothing."""
    drawn = [decorators[kind][rng.integers(len(decorators[kind]))] for kind in use]
    return ", ".join([prompt, *(phrase for phrase in drawn if phrase)])
