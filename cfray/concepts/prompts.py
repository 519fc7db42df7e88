"""Prompt templates and sets of prompts from data files."""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from cfray.concepts.appearance import find_data_file
from cfray.concepts.concepts import Concept, load_concepts


def load_templates(name: str, kind: str) -> list[str]:
    """The templates of one kind ("profession", "thing") in a prompts file, each with one ``{}``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file has no such kind or a template has no ``{}``.
    """
    data = yaml.safe_load(find_data_file(name, kind="prompts").read_text())
    if kind not in data:
        raise ValueError(f"prompts file {name!r} has no templates for {kind!r}; it has {', '.join(data)}")
    for template in data[kind]:
        if template.count("{}") != 1:
            raise ValueError(f"template {template!r} of {kind!r} in {name!r} must have exactly one {{}}")
    return data[kind]


def fill(templates: list[str], noun: str) -> list[str]:
    """The templates with ``noun`` and its article in the place of ``{}``."""
    article = "an" if noun[0].lower() in "aeiou" else "a"
    return [template.format(f"{article} {noun}") for template in templates]


@dataclass(frozen=True)
class Prompts:
    """A prompts file for ranking people: every template is filled with every concept, as it is written."""

    name: str
    templates: tuple[str, ...]
    concepts: tuple[Concept, ...]

    def fill(self, concept: Concept) -> list[str]:
        """The prompts of one concept, one per template. Articles stay as they are: published prompts have "A evil person"."""
        return [template.format(concept.name) for template in self.templates]


def load_prompts(name: str) -> Prompts:
    """Read a prompts file with ``name``, ``templates`` and ``concepts``: a path, or the name of one that ships with cfray.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the name, the templates or the concepts are missing or wrong.
    """
    try:
        data = yaml.safe_load(find_data_file(name, kind="prompts").read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"prompts file {name!r} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict) or "name" not in data:
        raise ValueError(f"prompts file {name!r} has no name; give one, results are called by it")
    return Prompts(data["name"], tuple(load_templates(name, "templates")), load_concepts(name))
