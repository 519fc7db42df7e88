"""Attribute prompts: texts that name a value of an attribute, several wordings each, from data files."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import yaml

from cfray.concepts.appearance import find_data_file
from cfray.errors import UserError


@dataclass(frozen=True)
class AttributePrompts:
    """The prompts of one attribute: V values with W texts each; texts at one place differ in the value only."""

    attribute: str
    values: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    """(V, W): every wording in every template."""

    @property
    def flat(self) -> list[str]:
        """The V·W texts in one list; their embeddings (V·W, d) reshaped to (V, W, d) are what ``infer_groups`` takes."""
        return [text for texts in self.texts for text in texts]


def load_attribute(name: str, attribute: str) -> AttributePrompts:
    """Read the prompts of one attribute from a file with ``templates`` and ``attributes``.

    Args:
        name: the path of a YAML file, or ``attributes-faces`` or ``attributes-world``, which ship with cfray.
        attribute: a key below ``attributes``.

    Raises:
        UserError: if there is no such file or attribute, the attribute has one value, values have different numbers of
            wordings, or a template has no ``{}``.
    """
    try:
        data = yaml.safe_load(find_data_file(name, kind="attribute prompts").read_text())
    except FileNotFoundError as error:
        raise UserError(str(error)) from None
    if not isinstance(data, dict) or not data.get("templates") or not data.get("attributes"):
        raise UserError(f"attribute prompts file {name!r} needs the keys templates and attributes")
    if attribute not in data["attributes"]:
        raise UserError(f"attribute {attribute!r} is not in attribute prompts {name!r}; it has {', '.join(data['attributes'])}")
    for template in data["templates"]:
        if template.count("{}") != 1:
            raise UserError(f"template {template!r} in {name!r} must have exactly one {{}}")
    rows = {str(value): list(wordings) for value, wordings in data["attributes"][attribute].items()}
    if len(rows) < 2:
        raise UserError(
            f"attribute {attribute!r} has {len(rows)} value ({', '.join(rows)}) in attribute prompts {name!r}, so there are no "
            "groups to tell apart; give two or more"
        )
    counts = {value: len(wordings) for value, wordings in rows.items()}
    if len(set(counts.values())) > 1:
        raise UserError(f"values of {attribute!r} in {name!r} have different numbers of wordings ({counts}); give each as many")
    texts = tuple(tuple(t.format(w) for w, t in product(wordings, data["templates"])) for wordings in rows.values())
    return AttributePrompts(attribute, tuple(rows), texts)

