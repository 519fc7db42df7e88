"""The check stage: measures every variant, reads its appearance back, and drops what is not as asked."""

from __future__ import annotations

from typing import Any

import numpy as np

from cfray.concepts.appearance import load_appearances
from cfray.dataset.schema import KEPT, decode_mask, decode_picture
from cfray.generate.config import GenerateConfig, ModelConfig, StageConfig
from cfray.generate.keeping import imbalance, variant_status
from cfray.generate.parser import PersonParser
from cfray.generate.pixels import (
    context_drift,
    individual_typology_angle,
    nearest_distances,
    nearest_monk_tone,
    perceptual_hash,
    sharpness,
    skin_colour,
)
from cfray.generate.readers import AttributeReader, ClipReader, SafetyReader
from cfray.generate.regions import bounding_box, iou
from cfray.generate.stage import Row, RowRejectedError, Stage, record_model, revision_of, use_device

Measured = list[dict[str, Any]]


class VariantChecker(Stage):
    """Gives each variant its status and each set its own.

    A set is kept when its base is safe, at least ``min_variants`` variants are kept and no appearance is missed by more
    than ``max_imbalance``. All that is measured is stored, whether a threshold is set or not.
    """

    name = "check"

    def __init__(self, config: GenerateConfig):
        super().__init__()
        self.config = checks = config.checks
        pool = {"num_cpus": checks.num_cpus, "num_gpus": checks.num_gpus}
        device = use_device(StageConfig(model="", **pool))
        self.appearances = load_appearances(config.appearances.file)
        self.skin_tone = AttributeReader(checks.skin_tone_reader) if checks.skin_tone_reader else None
        self.gender = AttributeReader(checks.gender_reader) if checks.gender_reader else None
        parses = checks.person is not None or checks.skin_pixels_tolerance is not None
        self.parser = PersonParser(config.masks.model_copy(update=pool | {"device": None})) if parses else None
        self.clip = ClipReader(checks.clip, self.appearances, device) if checks.clip else None
        self.safety = SafetyReader(checks.safety_checker, device) if checks.safety_checker else None

    def process(self, row: Row) -> None:
        variants = row["variants"]
        base, mask = decode_picture(row["base"]), decode_mask(row["mask"])
        pictures = [decode_picture(variant["image"]) for variant in variants]
        measured: Measured = [{} for _ in variants]
        about_base: dict[str, Any] = {}
        self._look(base, mask, pictures, measured, about_base)
        self._parse(base, mask, pictures, measured)
        self._read(row, base, pictures, mask, measured, about_base)
        for variant, found in zip(variants, measured, strict=True):
            variant["checks"] = found
            # A variant that its painter flagged stays rejected.
            variant["status"] = variant["status"] or variant_status(
                variant["attributes"], found, about_base.get("concept_similarity"), self.appearances, self.config
            )
        self._drop_duplicates(variants, pictures, mask)
        self._record(row)
        self._decide(row, about_base)

    def _look(self, base: np.ndarray, mask: np.ndarray, pictures: list, measured: Measured, about_base: dict) -> None:
        left, upper, right, lower = bounding_box(mask)
        about_base["sharpness"] = sharpness(base[upper:lower, left:right])
        # Whole pictures of a set look alike by what they share; the person is what may be blurred or doubled.
        persons = [picture[upper:lower, left:right] for picture in pictures]
        distances = nearest_distances([perceptual_hash(person) for person in persons])
        for found, picture, person, distance in zip(measured, pictures, persons, distances, strict=True):
            found["context_drift"] = context_drift(base, picture, mask)
            found["sharpness"] = sharpness(person) / max(about_base["sharpness"], 1e-9)
            found["hash_distance"] = distance

    def _parse(self, base: np.ndarray, mask: np.ndarray, pictures: list, measured: Measured) -> None:
        if self.parser is None:
            return
        before = np.isin(self.parser.label_map(base), self.parser.region) & mask
        for found, picture in zip(measured, pictures, strict=True):
            labels = self.parser.label_map(picture)
            found["person_iou"] = iou(np.isin(labels, self.parser.region) & mask, before)
            colour = skin_colour(picture, np.isin(labels, self.parser.skin) & mask)
            if colour is not None:
                found["ita"] = individual_typology_angle(colour)
                found["skin_tone_pixels"] = nearest_monk_tone(colour)

    def _read(self, row: Row, base: np.ndarray, pictures: list, mask: np.ndarray, measured: Measured, about_base: dict) -> None:
        tones = self.skin_tone.read(pictures) if self.skin_tone else [None] * len(pictures)
        genders = self.gender.read(pictures) if self.gender else [None] * len(pictures)
        for found, tone, gender in zip(measured, tones, genders, strict=True):
            found |= {"skin_tone_read": int(tone) if tone is not None else None, "gender_read": gender}
        if self.safety is not None:
            about_base["unsafe"], *flags = self.safety.flags([base, *pictures])
            for found, flag in zip(measured, flags, strict=True):
                found["unsafe"] = flag
        if self.clip is not None:
            whole = self.clip.similarity(self.clip.embed([base, *pictures]), row["caption"])
            about_base["concept_similarity"] = whole[0]
            left, upper, right, lower = bounding_box(mask)
            read = self.clip.read(self.clip.embed([picture[upper:lower, left:right] for picture in pictures]))
            for found, variant, similarity, axes in zip(measured, row["variants"], whole[1:], read, strict=True):
                found["concept_similarity"] = similarity
                found["clip_read"] = [
                    {
                        "axis": axis, "value": max(values, key=values.get),
                        "requested_probability": values[variant["attributes"][axis]] if axis in variant["attributes"] else None,
                    }
                    for axis, values in axes.items()
                ]  # fmt: skip

    def _drop_duplicates(self, variants: list[dict], pictures: list[np.ndarray], mask: np.ndarray) -> None:
        """Of kept variants that are nearly the same person, the first stays."""
        if self.config.min_hash_distance is None:
            return
        left, upper, right, lower = bounding_box(mask)
        hashes: list[np.ndarray] = []
        for variant, picture in zip(variants, pictures, strict=True):
            if variant["status"] == KEPT:
                own = perceptual_hash(picture[upper:lower, left:right])
                if any(int((own != other).sum()) < self.config.min_hash_distance for other in hashes):
                    variant["status"] = "rejected:duplicate"
                else:
                    hashes.append(own)

    def _record(self, row: Row) -> None:
        clip = self.config.clip
        for role, model in (
            ("skin_tone_reader", self.config.skin_tone_reader),
            ("gender_reader", self.config.gender_reader),
            ("clip", clip.model if clip else None),
            ("safety_checker", self.config.safety_checker),
        ):
            if model:
                record_model(row, role, model, revision_of(ModelConfig(model=model)) if role != "clip" else None)

    def _decide(self, row: Row, about_base: dict[str, Any]) -> None:
        requested = [variant["attributes"] for variant in row["variants"]]
        kept = [variant["attributes"] for variant in row["variants"] if variant["status"] == KEPT]
        missed = imbalance(requested, kept)
        row["checks"] = (row["checks"] or {}) | about_base | {"imbalance": missed}
        if about_base.get("unsafe"):
            raise RowRejectedError("unsafe", "the safety checker flagged the base image")
        if len(kept) < self.config.min_variants:
            raise RowRejectedError(
                "too_few_variants", f"{len(kept)} of {len(requested)} variants passed; {self.config.min_variants} are needed"
            )
        if self.config.max_imbalance is not None and missed > self.config.max_imbalance:
            raise RowRejectedError(
                "imbalance", f"an appearance's share fell by {missed:.2f}; {self.config.max_imbalance} is allowed"
            )
        row["status"] = KEPT
