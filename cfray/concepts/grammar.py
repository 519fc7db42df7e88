"""Captions from a grammar over context facets: the caption source where no language model is configured."""

from __future__ import annotations

from itertools import product

from cfray.concepts.concepts import Concept

_OPENINGS = ("a photo of", "a picture of", "an image of")
_PORTRAIT_OPENINGS = ("a portrait of", "a portrait photo of", "a picture of the face of")
_PLACES = ("in {place}", "at work in {place}")
_TOOLS = ("holding {tool}", "with {tool}")


def neutral_captions(concept: Concept) -> list[str]:
    """All captions of the grammar for a concept, the most detailed first; none names an appearance.

    Raises:
        ValueError: if the concept lacks one of the facets place, attire and tool.
    """
    missing = [name for name in ("place", "attire", "tool") if name not in concept.facets]
    if missing:
        raise ValueError(
            f"concept {concept.name!r} has no facet {', '.join(missing)}; the grammar needs place, attire and tool"
        )
    subject = concept.with_article
    full = ("{opening} {subject} wearing {attire} {tool} {place}", "{opening} {subject} {place} wearing {attire} {tool}")
    short = ("{opening} {subject} {place} {tool}", "{opening} {subject} wearing {attire} {place}", "{opening} {subject} {tool}")
    captions = []
    for forms in (full, short):
        for form, opening, place, tool in product(forms, _OPENINGS, _PLACES, _TOOLS):
            caption = form.format(
                opening=opening, subject=subject, attire=concept.facets["attire"],
                place=place.format(**concept.facets), tool=tool.format(**concept.facets),
            )  # fmt: skip
            if caption not in captions:
                captions.append(caption)
    return captions


def portrait_captions(concept: Concept) -> list[str]:
    """Captions of a portrait of someone of a concept's, without its context: people as galleries of faces show them."""
    return [f"{opening} {concept.with_article} before a plain background" for opening in _PORTRAIT_OPENINGS]


def with_appearance(caption: str, concept: Concept, person: str) -> str:
    """Put a person ("a woman with tan skin") in the place of the concept: "a photo of a woman with tan skin, a doctor in ...".

    Raises:
        ValueError: if the caption does not name the concept with its article.
    """
    if not concept.named_in(caption):
        raise ValueError(f"caption {caption!r} does not contain {concept.with_article!r}; a caption must name its concept")
    return concept.pattern.sub(lambda _: concept.person(person), caption, count=1)
