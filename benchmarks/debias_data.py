"""What the debiasing methods are compared on: cached embeddings of real faces, professions and captions, and the measures."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cfray.clip.debiasers import Debiaser
from cfray.concepts.prompts import load_prompts
from cfray.debias import EmbeddingCache
from cfray.debias.texts import with_article
from cfray.groups.infer import infer_groups
from cfray.metrics import (
    class_prototypes,
    fairness_of_attributes,
    rank_fairness,
    recall_at_k,
    similarity,
    summarise,
    zero_shot_accuracy,
)

K = 250
"""A tenth of the 2,500 faces, as k = 1000 is of FairFace's 10,954."""
PHOTOS_K = 75
"""A tenth of the 750 photos of people at work."""
ATTRIBUTES = ("gender", "race")
AGE, PHOTOS = "age", "gender in photos"
"""Out of domain: an attribute that nothing is fitted on, and gender in IdenProf's photos, as the model reads it before."""
PROMPT_SETS = ("adjectives", "occupations")
TEMPLATES = ("a photo of {}", "a picture of {}", "{} at work", "a portrait of {}", "this is {}")
NAMED = {
    "gender": {"Female": "a woman", "Male": "a man"},
    "race": {
        "Black": "a Black person", "East Asian": "an East Asian person", "Indian": "an Indian person",
        "Latino_Hispanic": "a Latino person", "Middle Eastern": "a Middle Eastern person",
        "Southeast Asian": "a Southeast Asian person", "White": "a White person",
    },
}  # fmt: skip


@dataclass
class RealData:
    """Un-normalised embeddings with labels. Prompts of classes are (classes, templates, d)."""

    faces: torch.Tensor
    labels: dict[str, np.ndarray]
    names: dict[str, list[str]]
    photo_gender: np.ndarray
    prompts: dict[str, torch.Tensor]
    named: dict[str, torch.Tensor]
    professions: torch.Tensor
    profession_labels: np.ndarray
    profession_prompts: torch.Tensor
    photos: torch.Tensor
    captions: torch.Tensor
    caption_photo: np.ndarray


def load_real(data: Path, cache: EmbeddingCache) -> RealData:
    """FairFace val, IdenProf test and COCO val2017 below ``data``."""
    faces = _rows(data / "fairface/labels_val.csv")
    grouped = {a: np.unique([row[a] for row in faces], return_inverse=True) for a in (*ATTRIBUTES, AGE)}
    professions = [row for row in _rows(data / "idenprof/labels.csv") if row["split"] == "test"]
    classes = sorted({row["profession"] for row in professions})
    nouns = [with_article("police officer" if name == "police" else name) for name in classes]
    photos = [json.loads(line) for line in (data / "coco_mini/captions_persons.jsonl").read_text().splitlines()]
    photos = [row for row in photos if row["file"].startswith("val2017/")]
    files = {name: load_prompts(f"prompts-{name}") for name in PROMPT_SETS}

    def fill(people: list[str]) -> torch.Tensor:
        texts = [template.format(person) for person in people for template in TEMPLATES]
        return cache.texts(texts).reshape(len(people), len(TEMPLATES), -1)

    named = {a: fill([NAMED[a][value] for value in grouped[a][0].tolist()]) for a in ATTRIBUTES}
    at_work = cache.images([data / "idenprof" / row["file"] for row in professions])
    genders = tuple(grouped["gender"][0].tolist())
    return RealData(
        faces=cache.images([data / "fairface" / row["file"] for row in faces]),
        labels={a: groups for a, (_, groups) in grouped.items()},
        names={a: names.tolist() for a, (names, _) in grouped.items()},
        photo_gender=infer_groups(at_work, named["gender"], genders).groups,
        prompts={name: cache.texts([text for c in file.concepts for text in file.fill(c)]) for name, file in files.items()},
        named=named,
        professions=at_work,
        profession_labels=np.array([classes.index(row["profession"]) for row in professions]),
        profession_prompts=fill(nouns),
        photos=cache.images([data / "coco_mini" / row["file"] for row in photos]),
        captions=cache.texts([caption for row in photos for caption in row["captions"][:5]]),
        caption_photo=np.repeat(np.arange(len(photos)), [len(row["captions"][:5]) for row in photos]),
    )


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


class Measured:
    """All numbers of one transform at one strength; ``debiaser`` None is the model as it is."""

    def __init__(
        self, real: RealData, debiaser: Debiaser | None, strength: float = 1.0, *, bootstrap: int = 0, floor: int = 0
    ):  # fmt: skip
        self._real, self._debiaser, self._strength = real, debiaser, strength if debiaser is not None else 0.0
        faces, photos = self._image(real.faces), self._image(real.professions)
        galleries = [
            (faces, {a: (real.labels[a], real.names[a]) for a in (*ATTRIBUTES, AGE)}, K),
            (photos, {PHOTOS: (real.photo_gender, real.names["gender"])}, PHOTOS_K),
        ]
        self.fairness = {}
        for prompts, texts in real.prompts.items():
            for images, attributes, k in galleries:
                scores = similarity(self._text(texts), images)
                found = fairness_of_attributes(scores, attributes, ks=[k], n_bootstrap=bootstrap, n_floor=floor)
                self.fairness |= {(prompts, a): summarise(both, attributes[a][1]) for a, both in found.items()}
        self.raw = {
            a: rank_fairness(
                similarity(self._text(real.prompts["adjectives"]), faces, normalize=False), real.labels[a], k=K,
                n_floor=0, n_bootstrap=0,
            ).mean["max_skew"].value
            for a in ATTRIBUTES
        }  # fmt: skip
        self.accuracy = self._zero_shot(real.professions, real.profession_prompts, real.profession_labels)
        scores = similarity(self._image(real.photos), self._text(real.captions))
        recall = recall_at_k(scores, real.caption_photo, k=5)
        self.recall = (recall.text_to_image, recall.image_to_text)
        self.named = {a: self._zero_shot(real.faces, real.named[a], real.labels[a]) for a in ATTRIBUTES}
        self.precision = {a: self._precision(a, faces) for a in ATTRIBUTES}

    def value(self, prompts: str, attribute: str, metric: str, target: str = "uniform") -> dict[str, float]:
        """``value``, ``low``, ``high`` and ``floor`` of maxskew or ndkl; ``attribute`` may be AGE or PHOTOS."""
        return self.fairness[prompts, attribute][f"{metric}@{PHOTOS_K if attribute == PHOTOS else K}"][target]

    def _image(self, x: torch.Tensor) -> np.ndarray:
        return (x if self._debiaser is None else self._debiaser.image(x, self._strength)).detach().numpy()

    def _text(self, x: torch.Tensor) -> np.ndarray:
        return (x if self._debiaser is None else self._debiaser.text(x, self._strength)).detach().numpy()

    def _prototypes(self, prompts: torch.Tensor) -> np.ndarray:
        return class_prototypes(self._text(prompts.flatten(0, 1)).reshape(prompts.shape))

    def _zero_shot(self, images: torch.Tensor, prompts: torch.Tensor, labels: np.ndarray) -> float:
        return zero_shot_accuracy(self._image(images), self._prototypes(prompts), labels)

    def _precision(self, attribute: str, faces: np.ndarray) -> float:
        """Share of the right group among the first 100 faces for a text that names it, mean over groups."""
        scores = similarity(self._prototypes(self._real.named[attribute]), faces)
        top = np.argsort(-scores, axis=1, kind="stable")[:, :100]
        right = self._real.labels[attribute][top] == np.arange(len(scores))[:, None]
        return float(right.mean())
