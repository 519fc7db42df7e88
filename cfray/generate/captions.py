"""Neutral captions for each concept: from a file, a language model, or the grammar over context facets."""

from __future__ import annotations

from pathlib import Path

import yaml

from cfray.concepts.concepts import Concept
from cfray.concepts.grammar import neutral_captions
from cfray.concepts.neutrality import appearance_terms
from cfray.errors import UserError
from cfray.generate.config import GenerateConfig
from cfray.generate.writers.asking import written_captions


def captions_for(concepts: list[Concept], config: GenerateConfig) -> dict[str, list[str]]:
    """Captions by concept name, all of them neutral.

    Args:
        concepts: the concepts to caption.
        config: says where captions come from.

    Raises:
        UserError: if the file is missing, the language model cannot be used, a concept has no caption, or a caption
            names an appearance or does not name its concept.
    """
    file = config.captions
    if config.write_captions is not None:
        if file is not None:
            raise UserError("captions and write_captions are both given; captions come from one source")
        return written_captions(concepts, config.write_captions, config.output)
    written = _read(file) if file is not None else {concept.name: neutral_captions(concept) for concept in concepts}
    for concept in concepts:
        captions = written.get(concept.name) or []
        if not captions:
            raise UserError(f"captions file {file!r} has no caption for concept {concept.name!r}; write at least one")
        for caption in captions:
            _require_usable(caption, concept, file)
    return {concept.name: written[concept.name] for concept in concepts}


def _read(file: str) -> dict[str, list[str]]:
    if not Path(file).is_file():
        raise UserError(f"captions file {file!r} not found; give a YAML file of concept: [captions]")
    return yaml.safe_load(Path(file).read_text()) or {}


def _require_usable(caption: str, concept: Concept, file: str | None) -> None:
    terms = appearance_terms(caption, (concept.name,))
    if terms:
        raise UserError(
            f"caption {caption!r} of {concept.name!r} names appearance ({', '.join(terms)}); "
            f"reword it without in {file or 'the grammar'}"
        )
    if not concept.named_in(caption):
        raise UserError(f"caption {caption!r} does not contain {concept.with_article!r}; a caption must name its concept")
