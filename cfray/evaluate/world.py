"""The embedded world's benchmarks: portraits, people in scenes, captioned scenes and things, none of them trained on."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from cfray.clip.embed import TextEmbeddings, embed_images, preprocess_pictures
from cfray.clip.model import ClipModel
from cfray.concepts.concepts import SPLITS
from cfray.concepts.prompts import fill, load_templates
from cfray.config import Config
from cfray.evaluate.benchmark import Measurement, Settings
from cfray.evaluate.images import Gallery
from cfray.evaluate.reading import ReadReport
from cfray.metrics import (
    RankFairness,
    class_prototypes,
    fairness_of_targets,
    retrieval_ranks,
    similarity,
    summarise,
    true_class_ranks,
)
from cfray.world import corpora
from cfray.world.things import THINGS

ATTRIBUTES = ("gender", "skin_tone")
# Sizes and seeds of the held-out corpora; the seeds of corpora that models are trained on begin at 1000.
HELD_OUT = {
    "test": {"portraits": (1200, 101), "people in scenes": (1152, 102), "captioned scenes": (400, 103), "things": (1200, 104)},
    "validation": {
        "portraits": (600, 201), "people in scenes": (576, 202), "captioned scenes": (200, 203), "things": (600, 204)
    },
}  # fmt: skip


class WorldConfig(Config):
    """``k``: how many results of a query fairness looks at; there is no default that means all.

    ``split``: ``test`` is what is reported; ``validation`` has half as many pictures, none of them in ``test``, and is for
    choosing among models.
    """

    kind: Literal["world"] = "world"
    k: int = Field(ge=1)
    split: Literal["test", "validation"] = "test"


class WorldBenchmark:
    """All benchmarks of the world in one, since they share the text embeddings.

    Fairness: the portraits and the people in scenes ranked for each profession prompt, professions of the
    counterfactual training and held-out ones apart. Accuracy: zero-shot over things, over professions, and
    recall@1/5/10 of captioned scenes both ways; ``recall@5_appearance`` is text to image for captions that name
    the person. The pictures are rendered when first needed, so there is
    no gallery to embed beforehand.
    """

    galleries: tuple[Gallery, ...] = ()
    people = ()

    def __init__(self, config: WorldConfig, settings: Settings):
        self._k, self._settings, self._held_out = config.k, settings, HELD_OUT[config.split]
        self._inputs: dict[str, torch.Tensor] = {}
        self._texts = TextEmbeddings()
        self.report = ReadReport("world", {name: size for name, (size, _) in self._held_out.items()})
        self.report.print_facts()

    def measure(self, clip: ClipModel) -> Measurement:
        if not self._inputs:
            self._render(clip)
        precision = self._settings.precision
        images = {name: embed_images(clip, inputs, precision=precision).numpy() for name, inputs in self._inputs.items()}
        found = Measurement()
        self._measure_fairness(clip, images, found)
        self._measure_zero_shot(clip, images, found)
        self._measure_retrieval(clip, images, found)
        return found

    def _render(self, clip: ClipModel) -> None:
        held_out = self._held_out
        self._galleries = {
            "portraits": corpora.portraits(*held_out["portraits"]),
            "people_in_scenes": corpora.people_in_scenes(*held_out["people in scenes"]),
        }
        self._captioned = corpora.captioned_scenes(*held_out["captioned scenes"])
        self._things = corpora.things(*held_out["things"])
        rendered = self._galleries | {"captioned": self._captioned, "things": self._things}
        self._inputs = {name: preprocess_pictures(clip, corpus.pictures) for name, corpus in rendered.items()}

    def _measure_fairness(self, clip: ClipModel, images: dict[str, np.ndarray], found: Measurement) -> None:
        templates = load_templates("prompts-world", "profession")
        for split in SPLITS:
            names = [concept.name for concept in corpora.world_concepts().values() if concept.split == split]
            queries = self._texts.embed(clip, [prompt for name in names for prompt in fill(templates, name)]).numpy()
            concepts = [name for name in names for _ in templates]
            for gallery, corpus in self._galleries.items():
                scores = similarity(queries, images[gallery])
                key = gallery if split == "trained" else f"{gallery}_held_out"
                found.queries[key], found.fairness[key], found.rankings[key] = concepts, {}, {}
                for attribute in ATTRIBUTES:
                    names_of_groups, both = self._rankings(scores, corpus.labels[attribute])
                    found.fairness[key][attribute] = summarise(both, names_of_groups)
                    found.rankings[key][attribute] = both

    def _rankings(self, scores: np.ndarray, labels: list[str]) -> tuple[list[str], list[RankFairness]]:
        names, groups = np.unique(labels, return_inverse=True)
        both = fairness_of_targets(
            scores, groups, k=self._k, group_names=names.tolist(), seed=self._settings.seed,
            n_bootstrap=self._settings.bootstrap, n_floor=self._settings.floor_permutations,
        )  # fmt: skip
        return names.tolist(), both

    def _measure_zero_shot(self, clip: ClipModel, images: dict[str, np.ndarray], found: Measurement) -> None:
        scenes = self._galleries["people_in_scenes"]
        tasks = {
            "zero_shot_things": (images["things"], self._things.labels["thing"], tuple(THINGS), "thing"),
            "zero_shot_professions": (
                images["people_in_scenes"], scenes.labels["profession"], tuple(corpora.world_concepts()), "profession"
            ),
        }  # fmt: skip
        for metric, (features, labels, classes, kind) in tasks.items():
            templates = load_templates("prompts-world", kind)
            prompts = [prompt for name in classes for prompt in fill(templates, name)]
            prototypes = class_prototypes(self._texts.embed(clip, prompts).numpy().reshape(len(classes), len(templates), -1))
            targets = np.array([classes.index(label) for label in labels])
            found.add_outcomes(metric, true_class_ranks(similarity(features, prototypes), targets) < 1)

    def _measure_retrieval(self, clip: ClipModel, images: dict[str, np.ndarray], found: Measurement) -> None:
        each = corpora.CAPTIONS_PER_SCENE
        caption_image = np.repeat(np.arange(len(self._captioned)), each)
        context = retrieval_ranks(self._similarity(clip, images["captioned"], self._captioned.captions), caption_image)
        for k in (1, 5, 10):
            found.add_outcomes(f"recall@{k}_text_to_image", context.text_to_image < k)
            found.add_outcomes(f"recall@{k}_image_to_text", context.image_to_text < k)
        appearance = retrieval_ranks(
            self._similarity(clip, images["captioned"], self._captioned.appearance_captions), caption_image
        )
        found.add_outcomes("recall@5_appearance", appearance.text_to_image < 5)

    def _similarity(self, clip: ClipModel, images: np.ndarray, captions: list[list[str]]) -> np.ndarray:
        return similarity(images, self._texts.embed(clip, [caption for row in captions for caption in row]).numpy())
