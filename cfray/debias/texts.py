"""The texts that debiasing learns from: captions of labelled faces, texts that name an attribute, texts that do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from itertools import product
from pathlib import Path

import yaml

from cfray.concepts.concepts import load_concepts
from cfray.errors import UserError


@dataclass(frozen=True)
class ValueWords:
    """Words for one value of an attribute: in a caption ("woman"), as a person ("a woman"), before a noun ("a female")."""

    caption: str
    person: str
    adjective: str = ""


@dataclass(frozen=True)
class AttributeWords:
    """Words for an attribute; ``slot`` is its part of the caption with {} for the value, ``absent`` that part without one."""

    slot: str
    absent: str
    values: dict[str, ValueWords]


@dataclass(frozen=True)
class DebiasTexts:
    """One file of words; see ``data/debias-faces.yaml`` for its keys."""

    name: str
    form: str
    attributes: dict[str, AttributeWords]
    with_noun: str
    templates: tuple[str, ...]
    nouns: tuple[str, ...]
    others: tuple[str, ...] = ()

    def caption(self, labels: Mapping[str, str]) -> str:
        """The caption of a face from {attribute: value}; attributes that are not given are left out of it."""
        parts = {
            name: words.slot.format(words.values[labels[name]].caption) if name in labels else words.absent
            for name, words in self.attributes.items()
        }
        return self.form.format(**parts)

    def explicit(self, attribute: str, values: tuple[str, ...]) -> list[list[str]]:
        """Texts that name a value and no noun, one list per value, one text per template."""
        people = [self.attributes[attribute].values[value].person for value in values]
        return [[template.format(person) for template in self.templates] for person in people]

    def pairs(self, attribute: str, values: tuple[str, ...]) -> list[list[str]]:
        """Texts of every noun with every value, one list per value; texts at one place differ in the value only."""
        texts = []
        for value in values:
            words = self.attributes[attribute].values[value]
            named = [
                self.with_noun.format(person=words.person, adjective=words.adjective, noun=noun, a_noun=with_article(noun))
                for noun in self.nouns
            ]
            # The templates take turns, which keeps the number of texts that of the nouns.
            texts.append([self.templates[i % len(self.templates)].format(words) for i, words in enumerate(named)])
        return texts

    def neutral(self) -> list[str]:
        """Texts of every noun in every template; none names an attribute."""
        return [template.format(with_article(noun)) for noun, template in product(self.nouns, self.templates)]

    def about_others(self) -> list[str]:
        """Texts of what is nobody: every other noun in every template."""
        return [template.format(with_article(noun)) for noun, template in product(self.others, self.templates)]

    def require(self, attribute: str, values: tuple[str, ...]) -> None:
        """Refuse values that cannot be put into words, because their captions would have no counterfactual.

        Raises:
            UserError: naming the attribute or value and what the file has.
        """
        if attribute not in self.attributes:
            raise UserError(f"attribute {attribute!r} has no words in texts {self.name!r}; it has {', '.join(self.attributes)}")
        unknown = [value for value in values if value not in self.attributes[attribute].values]
        if unknown:
            raise UserError(
                f"{attribute}={unknown[0]!r} has no words in texts {self.name!r}, so its captions have no counterfactual; "
                f"add it there or leave those pictures out (known: {', '.join(self.attributes[attribute].values)})"
            )


def with_article(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def load_texts(name: str) -> DebiasTexts:
    """Read a file of words: the path of a YAML file, or ``debias-faces`` or ``debias-world``, which ship with cfray.

    Raises:
        UserError: if there is no such file.
    """
    shipped = Path(str(resources.files("cfray.debias").joinpath("data")))
    path = next((path for path in (Path(name), shipped / f"{name}.yaml") if path.is_file()), None)
    if path is None:
        known = ", ".join(sorted(path.stem for path in shipped.glob("*.yaml")))
        raise UserError(f"texts file {name!r} not found; give the path of a YAML file or one of: {known}")
    data = yaml.safe_load(path.read_text())
    attributes = {
        name: AttributeWords(row["slot"], row["absent"], {str(v): ValueWords(**words) for v, words in row["values"].items()})
        for name, row in data["attributes"].items()
    }
    nouns = data.get("nouns") or [c.name for c in load_concepts(data["concepts"]) if c.split == "trained"]
    return DebiasTexts(
        data["name"], data["caption"], attributes, data["with_noun"], tuple(data["templates"]), tuple(nouns),
        tuple(data.get("others", ())),
    )  # fmt: skip
