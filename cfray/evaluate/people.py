"""Fairness of rankings of people: a gallery with labelled attributes, ranked for sets of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator, Field

from cfray.clip.model import ClipModel
from cfray.concepts.concepts import load_concepts
from cfray.concepts.prompts import load_prompts
from cfray.config import Config
from cfray.errors import UserError
from cfray.evaluate.benchmark import Measurement, Settings
from cfray.evaluate.embedding_files import Embedded
from cfray.evaluate.embeddings import Encoder
from cfray.evaluate.images import Gallery, Picture
from cfray.evaluate.inferred import InferConfig, InferredLabels, infer_labels, require_inferable
from cfray.evaluate.ranking import Labels, rank_people, require_groups, require_k
from cfray.evaluate.reading import ReadReport
from cfray.metrics import rank_top_k, similarity

UNREADABLE = "unreadable images"
Ks = Annotated[
    list[Annotated[int, Field(ge=1)]],
    Field(min_length=1),
    BeforeValidator(lambda k: [k] if isinstance(k, int) else k),
]


class RankingConfig(Config):
    """How galleries of people are ranked.

    ``k``: how many results of a query are looked at, one or more numbers; there is no default that means all.
    ``prompts``: prompts files, by path or by the name of one that ships with cfray; each is reported apart.
    ``average_templates``: one query per concept (the mean of its templates) instead of one per concept and template.
    ``trained_on``: the concepts file that counterfactual images were generated from; concepts that it marks as trained are
    then reported apart from all others, which are held out.
    ``groups``: {infer: clip} takes groups that a CLIP infers in the place of labels, see ``InferConfig``.
    """

    k: Ks
    prompts: list[str] = Field(["prompts-adjectives", "prompts-occupations"], min_length=1)
    average_templates: bool = False
    trained_on: str | None = None
    groups: InferConfig | None = None


class PeopleBenchmark:
    """Ranks one gallery for every set of prompts and measures the groups of every attribute.

    Args:
        gallery: the images.
        labels: per attribute the group of every image of the gallery, None where it is not known: such an image is left out
            of the rankings of that attribute. With inferred groups the attributes count, and labels are what those are
            compared with.
        config, settings, report: see there; the report gets what is missing or cannot be read.

    Raises:
        UserError: if an attribute has fewer than two groups or fewer images than the largest k, or a prompts file is wrong.
    """

    def __init__(self, gallery: Gallery, labels: Labels, config: RankingConfig, settings: Settings, report: ReadReport):
        self.report, self.galleries, self.people = report, (gallery,), (self,)
        self._gallery, self._labels, self._config, self._settings = gallery, labels, config, settings
        concepts = concept_sets(config)
        self._queries = {name: list(rows.values()) for name, rows in concepts.items()}
        self._concepts = {name: list(rows) for name, rows in concepts.items()}
        self._inferred: InferredLabels | None = None
        if config.groups is not None:
            # One run may hold the same gallery to its labels too.
            report.benchmark = f"{report.benchmark}_inferred"
        report.facts |= {"images": len(gallery), "attributes": ", ".join(labels if config.groups else _sizes(labels))}
        report.facts["queries"] = ", ".join(f"{_count(config, rows)} {name}" for name, rows in self._queries.items())
        report.print_facts()
        if config.groups is not None:
            require_inferable(config.groups, list(labels), settings)
            require_k(report.benchmark, "in all", len(gallery), config.k)
            return
        for attribute, values in labels.items():
            missing = (p.name for p, value in zip(gallery.pictures, values, strict=True) if value is None)
            report.add(f"images without a label of {attribute}", missing)
            require_groups(report.benchmark, attribute, values, config.k)

    def measure(self, clip: ClipModel) -> Measurement:
        """``fairness`` by gallery and prompt set, for example ``fairface_adjectives``."""
        encoder = Encoder(clip, self._settings)
        images = read_images(encoder, self._gallery, self.report)
        if self._config.groups is None:
            return self._measure(encoder, images, self._labels)
        if self._inferred is None:
            device = next(clip.model.parameters()).device
            self._inferred = infer_labels(self._config.groups, self._gallery, self._labels, self._settings, self.report, device)
        found = self._measure(encoder, images, self._inferred.labels)
        for summaries in found.fairness.values():
            for attribute, summary in summaries.items():
                summary["inferred"] = self._inferred.facts[attribute]
        return found

    def has_concept(self, concept: str) -> bool:
        """Whether any set of prompts has it."""
        return any(concept in names for names in self._concepts.values())

    def top_pictures(self, clip: ClipModel, concepts: Sequence[str], count: int) -> dict[str, dict[str, list[Picture]]]:
        """The first ``count`` pictures by {prompt set: {concept: ...}} for the mean of each concept's templates."""
        encoder = Encoder(clip, self._settings)
        images = read_images(encoder, self._gallery, self.report)
        readable = [p for p, kept in zip(self._gallery.pictures, images.readable, strict=True) if kept]
        found: dict[str, dict[str, list[Picture]]] = {}
        for name, rows in self._queries.items():
            asked = [i for i, concept in enumerate(self._concepts[name]) if concept in concepts]
            if asked:
                scores = similarity(encoder.prototypes([rows[i] for i in asked]), images.vectors)
                order = rank_top_k(scores, k=min(count, len(readable)))
                tops = ([readable[j] for j in row] for row in order)
                found[name] = {self._concepts[name][i]: top for i, top in zip(asked, tops, strict=True)}
        return found

    def _measure(self, encoder: Encoder, images: Embedded, labels: Labels) -> Measurement:
        found = Measurement()
        for name, prompts in self._queries.items():
            if self._config.average_templates:
                queries, each = encoder.prototypes(prompts), [1] * len(prompts)
            else:
                queries, each = encoder.texts([prompt for row in prompts for prompt in row]), [len(row) for row in prompts]
            gallery = f"{self.report.benchmark}_{name}"
            found.queries[gallery] = np.repeat(self._concepts[name], each).tolist()
            found.fairness[gallery], found.rankings[gallery] = rank_people(
                queries, images, labels, self._config.k, self._settings, name
            )
        return found


def query_sets(config: RankingConfig) -> dict[str, list[list[str]]]:
    """Prompts by set, one row of them per concept; see ``concept_sets``."""
    return {name: list(rows.values()) for name, rows in concept_sets(config).items()}


def concept_sets(config: RankingConfig) -> dict[str, dict[str, list[str]]]:
    """Prompts by set and concept: a set per file, or one of trained-on and one of held-out concepts.

    Raises:
        UserError: if a file is missing or has no template or no concept.
    """
    try:
        trained = {c.name for c in load_concepts(config.trained_on) if c.split == "trained"} if config.trained_on else None
        files = [load_prompts(name) for name in config.prompts]
    except (FileNotFoundError, ValueError) as error:
        raise UserError(str(error)) from None
    sets: dict[str, dict[str, list[str]]] = {}
    for file in files:
        for concept in file.concepts:
            held_out = trained is not None and concept.name not in trained
            sets.setdefault(f"{file.name}_held_out" if held_out else file.name, {})[concept.name] = file.fill(concept)
    return sets


def read_images(encoder: Encoder, gallery: Gallery, report: ReadReport) -> Embedded:
    """The embeddings of a gallery; what cannot be read goes to the report, once however many models are measured.

    Raises:
        UserError: if no image can be read.
    """
    images = encoder.images(gallery)
    if not images.readable.any():
        name, reason = next(iter(images.unreadable.items()))
        raise UserError(f"none of the {len(gallery)} images of {report.benchmark} can be read; first {name}: {reason}")
    known = set(report.problems.get(UNREADABLE, ()))
    report.add(UNREADABLE, (item for item in (f"{n} ({why})" for n, why in images.unreadable.items()) if item not in known))
    return images


def age_group(years: int) -> str:
    """One of three age groups: below 30, 30 to 59, 60 and above."""
    return "0-29" if years < 30 else "30-59" if years < 60 else "60+"


def _sizes(labels: Labels) -> list[str]:
    return [f"{attribute} ({len({v for v in values if v is not None})} groups)" for attribute, values in labels.items()]


def _count(config: RankingConfig, rows: list[list[str]]) -> int:
    return len(rows) if config.average_templates else sum(map(len, rows))
