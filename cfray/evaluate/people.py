"""Fairness of rankings of people: a gallery with labelled attributes, ranked for sets of prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from cfray.clip.model import ClipModel
from cfray.concepts.concepts import load_concepts
from cfray.concepts.prompts import load_prompts
from cfray.config import Config
from cfray.errors import UserError
from cfray.evaluate.benchmark import Measurement, Settings
from cfray.evaluate.embeddings import Embedded, Encoder
from cfray.evaluate.images import Gallery, Picture
from cfray.evaluate.reading import ReadReport
from cfray.metrics import RankFairness, fairness_of_targets, rank_top_k, similarity, summarise

UNREADABLE = "unreadable images"
Ks = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]


class RankingConfig(Config):
    """How galleries of people are ranked.

    ``k``: how many results of a query are looked at, one or more numbers; there is no default that means all.
    ``prompts``: prompts files, by path or by the name of one that ships with cfray; each is reported apart.
    ``average_templates``: one query per concept (the mean of its templates) instead of one per concept and template.
    ``trained_on``: the concepts file that counterfactual images were generated from; concepts that it marks as trained are
    then reported apart from all others, which are held out.
    """

    k: Ks
    prompts: list[str] = Field(["prompts-adjectives", "prompts-occupations"], min_length=1)
    average_templates: bool = False
    trained_on: str | None = None


Labels = Mapping[str, Sequence[str | None]]


class PeopleBenchmark:
    """Ranks one gallery for every set of prompts and measures the groups of every attribute.

    Args:
        gallery: the images.
        labels: per attribute the group of every image of the gallery, None where it is not known: such an image is left out
            of the rankings of that attribute.
        config, settings, report: see there; the report gets what is missing or cannot be read.

    Raises:
        UserError: if an attribute has fewer than two groups or fewer images than the largest k, or a prompts file is wrong.
    """

    def __init__(self, gallery: Gallery, labels: Labels, config: RankingConfig, settings: Settings, report: ReadReport):
        self.report, self.galleries = report, (gallery,)
        self._gallery, self._labels, self._config, self._settings = gallery, labels, config, settings
        concepts = concept_sets(config)
        self._queries = {name: list(rows.values()) for name, rows in concepts.items()}
        self._concepts = {name: list(rows) for name, rows in concepts.items()}
        report.facts |= {"images": len(gallery), "attributes": ", ".join(_sizes(labels))}
        report.facts["queries"] = ", ".join(f"{_count(config, rows)} {name}" for name, rows in self._queries.items())
        report.print_facts()
        for attribute, values in labels.items():
            missing = (p.name for p, value in zip(gallery.pictures, values, strict=True) if value is None)
            report.add(f"images without a label of {attribute}", missing)
            require_groups(report.benchmark, attribute, values, config.k)

    def measure(self, clip: ClipModel) -> Measurement:
        """``fairness`` by gallery and prompt set, for example ``fairface_adjectives``."""
        encoder = Encoder(clip, self._settings)
        return self._measure(encoder, read_images(encoder, self._gallery, self.report))

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

    def _measure(self, encoder: Encoder, images: Embedded) -> Measurement:
        found = Measurement()
        for name, prompts in self._queries.items():
            if self._config.average_templates:
                queries, each = encoder.prototypes(prompts), [1] * len(prompts)
            else:
                queries, each = encoder.texts([prompt for row in prompts for prompt in row]), [len(row) for row in prompts]
            gallery = f"{self.report.benchmark}_{name}"
            found.queries[gallery] = np.repeat(self._concepts[name], each).tolist()
            found.fairness[gallery], found.rankings[gallery] = {}, {}
            for attribute, values in self._labels.items():
                found.fairness[gallery][attribute], found.rankings[gallery][attribute] = rank_and_keep(
                    queries, images, values, self._config.k, self._settings, f"{name}, {attribute}"
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


def rank_groups(
    queries: np.ndarray, images: Embedded, labels: Sequence[str | None], ks: Sequence[int], settings: Settings, where: str
) -> dict[str, Any]:
    """The fairness summary of queries (Q, d) over the readable and labelled images.

    As ``cfray.metrics.fairness_summary``, for several k in one dictionary: ``"maxskew@K"`` and so on for each, and
    ``"absent_groups": {"K": n}``, ``"groups": {name: {"members": n, "top_share": {"K": s}}}``.

    Raises:
        UserError: for what the metrics refuse, with ``where`` in front.
    """
    return rank_and_keep(queries, images, labels, ks, settings, where)[0]


def rank_and_keep(
    queries: np.ndarray, images: Embedded, labels: Sequence[str | None], ks: Sequence[int], settings: Settings, where: str
) -> tuple[dict[str, Any], list[RankFairness]]:
    """``rank_groups`` and the results that it sums up: uniform and pool for every k. Two models' results are paired."""
    labels = np.array([label or "" for label in labels])[images.readable]
    names, groups = np.unique(labels[labels != ""], return_inverse=True)
    scores = similarity(queries, images.vectors[labels != ""])
    summary: dict[str, Any] = {"absent_groups": {}, "groups": {}}
    kept: list[RankFairness] = []
    for k in ks:
        try:
            both = fairness_of_targets(
                scores, groups, k=k, group_names=names.tolist(), seed=settings.seed,
                n_bootstrap=settings.bootstrap, n_floor=settings.floor_permutations,
            )  # fmt: skip
        except ValueError as error:
            raise UserError(f"{where}: {error}") from None
        one = summarise(both, names.tolist())
        kept += both
        summary["absent_groups"][str(k)] = one.pop("absent_groups")
        for name, group in one.pop("groups").items():
            entry = summary["groups"].setdefault(name, {"members": group["members"], "top_share": {}})
            entry["top_share"][str(k)] = group["top_share"]
        summary |= one
    return summary, kept


def age_group(years: int) -> str:
    """One of three age groups: below 30, 30 to 59, 60 and above."""
    return "0-29" if years < 30 else "30-59" if years < 60 else "60+"


def require_groups(benchmark: str, attribute: str, labels: Sequence[str | None], ks: Sequence[int]) -> None:
    """UserError if the labels have fewer than two groups, or fewer images than the largest k."""
    have = [label for label in labels if label is not None]
    groups = sorted(set(have))
    if len(groups) < 2:
        what = f"one group only ({groups[0]})" if groups else "no label at all"
        raise UserError(f"attribute {attribute!r} of {benchmark} has {what}; fairness needs at least 2 groups")
    if max(ks) > len(have):
        raise UserError(f"k={max(ks)} is larger than the {len(have)} images of {benchmark} with a {attribute}; lower k")


def _sizes(labels: Labels) -> list[str]:
    return [f"{attribute} ({len({v for v in values if v is not None})} groups)" for attribute, values in labels.items()]


def _count(config: RankingConfig, rows: list[list[str]]) -> int:
    return len(rows) if config.average_templates else sum(map(len, rows))
