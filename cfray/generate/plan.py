"""The plan: every set that a recipe asks for, with its id, caption, seeds and requested appearances, before any model runs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa

from cfray.concepts.appearance import Appearances, load_appearances
from cfray.concepts.concepts import Concept, load_concepts
from cfray.concepts.decorators import decorate, load_decorators
from cfray.concepts.grammar import portrait_captions, with_appearance
from cfray.config import hash_of
from cfray.dataset.schema import derived_seed, new_set_id, set_schema
from cfray.errors import UserError
from cfray.generate.captions import captions_for
from cfray.generate.config import ConceptsConfig, GenerateConfig
from cfray.generate.people import require_sampling, sample_people

# Where a set is stored and which sets there are; what they show is in their ids besides the recipe.
_NOT_IN_RECIPE = {
    "output", "sets_per_concept", "rows_per_file", "concepts", "captions", "write_captions", "portrait_share", "seed",
}  # fmt: skip


def recipe_hash(config: GenerateConfig) -> str:
    """The hash of what determines a set's content.

    Pools, batch sizes and the number of sets are left out: changing them re-uses the sets that are there.
    """
    data = config.model_dump(mode="json", exclude=_NOT_IN_RECIPE)
    for stage in ("base", "masks", "inpaint", "checks"):
        for key in ("actors", "num_cpus", "num_gpus", "batch_size"):
            data[stage].pop(key, None)
    return hash_of(data)


def chosen_concepts(config: ConceptsConfig) -> list[Concept]:
    """The concepts that a configuration names.

    Raises:
        UserError: if the file is missing, empty or has duplicates, a name is not in it, or nothing is left.
    """
    try:
        concepts = load_concepts(config.file)
    except (FileNotFoundError, ValueError) as error:
        raise UserError(str(error)) from None
    if config.names is not None:
        by_name = {concept.name: concept for concept in concepts}
        unknown = [name for name in config.names if name not in by_name]
        if unknown:
            raise UserError(f"concepts.names has {', '.join(map(repr, unknown))}, not in {config.file!r}: {', '.join(by_name)}")
        twice = sorted({name for name in config.names if config.names.count(name) > 1})
        if twice:
            raise UserError(f"concepts.names has {', '.join(map(repr, twice))} more than once; keep one of each")
        concepts = tuple(by_name[name] for name in config.names)
    chosen = [concept for concept in concepts if config.split in ("all", concept.split)]
    if not chosen:
        raise UserError(
            f"concepts.split={config.split!r} leaves no concept of {config.file!r}; choose another split or other names"
        )
    return chosen


def make_plan(config: GenerateConfig) -> pa.Table:
    """The plan of a configuration; the same configuration gives the same rows in the same order.

    Raises:
        UserError: for concepts, captions or appearances that cannot be used.
    """
    try:
        appearances = load_appearances(config.appearances.file)
        decorators = load_decorators(config.decorators.file) if config.decorators else {}
    except (FileNotFoundError, ValueError) as error:
        raise UserError(str(error)) from None
    unknown = [kind for kind in (config.decorators.use if config.decorators else []) if kind not in decorators]
    if unknown:
        raise UserError(f"decorators.use has {unknown[0]!r}, not in {config.decorators.file!r}: {', '.join(decorators)}")
    require_sampling(appearances, config.appearances)
    axes = config.appearances.vary
    concepts = chosen_concepts(config.concepts)
    captions = captions_for(concepts, config)
    recipe = recipe_hash(config)
    rows = [
        _row(concept, captions[concept.name], index, config, appearances, decorators, recipe)
        for concept in concepts
        for index in range(config.sets_per_concept)
    ]
    return pa.Table.from_pylist(rows, schema=set_schema(axes))


def _row(
    concept: Concept,
    captions: list[str],
    index: int,
    config: GenerateConfig,
    appearances: Appearances,
    decorators: dict[str, list[str]],
    recipe: str,
) -> dict[str, Any]:
    seed = derived_seed(config.seed, concept.name, index)
    if _is_portrait(index, config.portrait_share):
        captions = portrait_captions(concept)
    # Every caption is used once before one is used twice, in an order of the concept's own.
    order = np.random.default_rng(derived_seed(config.seed, concept.name)).permutation(len(captions))
    caption = captions[order[index % len(captions)]]
    set_id = new_set_id(concept.name, caption, seed, recipe)
    people = sample_people(appearances, config.appearances, index, np.random.default_rng(seed))

    def prompt(words: str) -> str:
        use = config.decorators.use if config.decorators else []
        return decorate(words, decorators, use, np.random.default_rng(derived_seed(seed, "decorators")))

    variants = [
        {
            "image": None, "attributes": person,
            "prompt": prompt(with_appearance(caption, concept, appearances.phrase(person))),
            "seed": derived_seed(seed, set_id, variant), "checks": None, "status": "",
        }
        for variant, person in enumerate(people)
    ]  # fmt: skip
    return {
        "set_id": set_id, "recipe": recipe, "seed": seed, "concept": concept.name, "caption": caption,
        "prompt": prompt(caption), "variants": variants, "status": "", "attempts": 0, "models": _writer(config),
    }  # fmt: skip


def _writer(config: GenerateConfig) -> dict[str, dict[str, str | None]] | None:
    """The language model that wrote the captions, in the form of the column ``models``."""
    writer = config.write_captions
    return writer and {"captions": {"id": writer.model, "revision": getattr(writer, "revision", None)}}


def _is_portrait(index: int, share: float) -> bool:
    """Whether set ``index`` of a concept is a portrait; they are spread evenly and are ``share`` of any number of sets."""
    return math.floor((index + 1) * share) > math.floor(index * share)
