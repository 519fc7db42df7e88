"""The check stage: reads every variant's skin tone and gender presentation back and drops those that are not as asked."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

from cfray.concepts.appearance import Appearances, load_appearances
from cfray.dataset.schema import KEPT, decode_picture
from cfray.errors import UserError
from cfray.generate.config import ChecksConfig
from cfray.generate.stage import Row, RowRejectedError, Stage, record_model
from cfray.world.models import model_path


class AttributeReader:
    """An image classifier whose label names are values of an appearance axis."""

    def __init__(self, model: str):
        path = model_path(model)
        try:
            self.model = AutoModelForImageClassification.from_pretrained(path, dtype=torch.float32, use_safetensors=True).eval()
            self.processor = AutoImageProcessor.from_pretrained(path)
        except OSError as error:
            raise UserError(f"model {model!r} cannot be loaded: {str(error).splitlines()[0]}") from None

    @torch.inference_mode()
    def read(self, pictures: list[np.ndarray]) -> list[str]:
        """The label name of each uint8 picture (h, w, 3)."""
        inputs = self.processor(images=[Image.fromarray(picture) for picture in pictures], return_tensors="pt")
        return [self.model.config.id2label[int(i)] for i in self.model(**inputs).logits.argmax(dim=1)]


class VariantChecker(Stage):
    """Gives each variant its status and each set its own: a set keeps at least ``min_variants`` or is rejected."""

    name = "check"

    def __init__(self, config: ChecksConfig, appearances_file: str):
        super().__init__()
        torch.set_num_threads(max(1, int(config.num_cpus)))
        self.config = config
        self.appearances = load_appearances(appearances_file)
        self.skin_tone = AttributeReader(config.skin_tone_reader) if config.skin_tone_reader else None
        self.gender = AttributeReader(config.gender_reader) if config.gender_reader else None

    def process(self, row: Row) -> None:
        variants = row["variants"]
        pictures = [decode_picture(variant["image"]) for variant in variants]
        tones = [int(tone) for tone in self.skin_tone.read(pictures)] if self.skin_tone else [None] * len(pictures)
        genders = self.gender.read(pictures) if self.gender else [None] * len(pictures)
        for variant, tone, gender in zip(variants, tones, genders, strict=True):
            variant["checks"] = {"skin_tone_read": tone, "gender_read": gender}
            variant["status"] = variant_status(
                variant["attributes"], tone, gender, self.appearances, self.config.skin_tone_tolerance
            )
        for role, model in (("skin_tone_reader", self.config.skin_tone_reader), ("gender_reader", self.config.gender_reader)):
            if model:
                record_model(row, role, model, None)
        kept = sum(variant["status"] == KEPT for variant in variants)
        if kept < self.config.min_variants:
            raise RowRejectedError(
                "too_few_variants", f"{kept} of {len(variants)} variants passed; {self.config.min_variants} are needed"
            )
        row["status"] = KEPT


def variant_status(
    requested: dict[str, str], tone: int | None, gender: str | None, appearances: Appearances, tolerance: int
) -> str:
    """``kept`` or ``rejected:<check>`` from what was asked for and what was read; None was not read."""
    if tone is not None and requested.get("skin_tone") is not None:
        asked = appearances.axes["skin_tone"].values[requested["skin_tone"]].monk
        if abs(asked - tone) > tolerance:
            return "rejected:skin_tone"
    if gender is not None and requested.get("gender") not in (None, gender):
        return "rejected:gender"
    return KEPT
