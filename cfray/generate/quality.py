"""Measures the painter, the parser and the readers on what they are for, through the stages that generation runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from cfray.config import build_config
from cfray.dataset.schema import KEPT, decode_picture
from cfray.generate.checks import VariantChecker
from cfray.generate.config import GenerateConfig
from cfray.generate.masks import PersonMasker
from cfray.generate.painters import BasePainter, Inpainter
from cfray.generate.plan import make_plan
from cfray.generate.readers import AttributeReader
from cfray.world import corpora
from cfray.world.scenes import BODY_LABELS


def generation_config(folder: str, sets: int) -> GenerateConfig:
    """A recipe over all professions of the world with the models of ``folder``, for ``sets`` sets in all."""
    professions = len(corpora.world_concepts())
    return build_config(
        GenerateConfig,
        {
            "output": folder,
            "concepts": {"file": "world-professions", "split": "all"},
            "appearances": {"file": "appearance-world", "variants": 6},
            "sets_per_concept": -(-sets // professions),
            "base": {"model": f"{folder}/text-to-image", "num_cpus": 2},
            "masks": {"model": f"{folder}/parser", "num_cpus": 2},
            "inpaint": {"model": f"{folder}/text-to-image", "num_cpus": 2},
            "checks": {"skin_tone_reader": f"{folder}/skin-tone-reader", "gender_reader": f"{folder}/gender-reader"},
            "seed": 900,
        },
    )


def measure_painting(config: GenerateConfig, profession_classifier: str) -> tuple[dict[str, float], pa.Table]:
    """Make the sets of a configuration in this process and read them back.

    Returns:
        Shares in [0, 1]: ``profession_readable`` of base images whose profession the classifier reads as asked;
        ``skin_tone_within_one`` and ``gender_as_asked`` of all variants before any is dropped, ``kept_variants``
        that pass both checks, and ``kept_sets``. And the table of sets.
    """
    table = make_plan(config)
    for stage in (
        BasePainter(config.base),
        PersonMasker(config.masks),
        Inpainter(config.inpaint),
        VariantChecker(config),
    ):
        table = stage(table)
    rows = table.to_pylist()
    classifier = AttributeReader(profession_classifier)
    painted = [row for row in rows if row["base"]["bytes"]]
    read = classifier.read([decode_picture(row["base"]) for row in painted])
    checked = [variant for row in rows for variant in row["variants"] if variant["checks"]]
    tones = [abs(int(v["attributes"]["skin_tone"]) - v["checks"]["skin_tone_read"]) <= 1 for v in checked]
    genders = [v["attributes"]["gender"] == v["checks"]["gender_read"] for v in checked]
    return {
        "profession_readable": float(np.mean([row["concept"] == name for row, name in zip(painted, read, strict=True)])),
        "skin_tone_within_one": float(np.mean(tones)),
        "gender_as_asked": float(np.mean(genders)),
        "kept_variants": float(np.mean([variant["status"] == KEPT for variant in checked])),
        "kept_sets": float(np.mean([row["status"] == KEPT for row in rows])),
    }, table


def measure_on_renders(config: GenerateConfig, profession_classifier: str, count: int = 480) -> dict[str, float]:
    """Mask IoU of the body and accuracy of each reader on rendered scenes that nothing was trained on."""
    scenes = corpora.people_in_scenes(count, 905)
    masker = PersonMasker(config.masks.model_copy(update={"dilate_px": 0}))
    found = np.stack([masker.person_mask(picture) for picture in scenes.pictures])
    truth = np.isin(scenes.label_maps, BODY_LABELS)
    pictures = list(scenes.pictures)
    tones = np.array([int(tone) for tone in AttributeReader(config.checks.skin_tone_reader).read(pictures)])
    return {
        "mask_iou": float((found & truth).sum() / (found | truth).sum()),
        "skin_tone_within_one": float((np.abs(tones - np.array(scenes.labels["tone"])) <= 1).mean()),
        "gender": _accuracy(config.checks.gender_reader, pictures, scenes.labels["gender"]),
        "profession": _accuracy(profession_classifier, pictures, scenes.labels["profession"]),
    }


def _accuracy(model: str, pictures: list[np.ndarray], labels: list[Any]) -> float:
    return float(np.mean([read == label for read, label in zip(AttributeReader(model).read(pictures), labels, strict=True)]))
