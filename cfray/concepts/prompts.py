"""Prompt templates from data files."""

from __future__ import annotations

import yaml

from cfray.concepts.appearance import find_data_file


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
