"""Reads the images of finished sets: appearance by the recipe's own readers, and CLIP embeddings. Ray Data calls it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from cfray.audit.config import AuditConfig
from cfray.concepts.appearance import Appearances, load_appearances
from cfray.dataset.audit import BASE, readings_schema
from cfray.dataset.schema import KEPT, decode_mask, decode_picture
from cfray.dataset.store import read_table
from cfray.generate.config import ClipCheckConfig, GenerateConfig
from cfray.generate.parser import PersonParser
from cfray.generate.pixels import nearest_monk_tone, skin_colour
from cfray.generate.readers import AttributeReader, ClipReader
from cfray.generate.regions import bounding_box
from cfray.generate.stage import quiet_libraries, use_device

PIXELS, ZERO_SHOT = "skin colour", "CLIP"


def readers_for(config: AuditConfig, recipe: GenerateConfig, appearances: Appearances) -> dict[str, str | None]:
    """By what each varied axis is read: a classifier's name, ``PIXELS``, ``ZERO_SHOT``, or None where nothing can.

    A classifier of the audit or the recipe comes first, then skin colour inside the parser's labels where the recipe checks
    it, then CLIP where every value of the axis has words to read it by.
    """
    named = {"skin_tone": recipe.checks.skin_tone_reader, "gender": recipe.checks.gender_reader} | config.readers
    readers: dict[str, str | None] = {}
    for axis in recipe.appearances.vary:
        words = [value.read for value in appearances.axes[axis].values.values()]
        if named.get(axis):
            readers[axis] = named[axis]
        elif axis == "skin_tone" and recipe.checks.skin_pixels_tolerance is not None:
            readers[axis] = PIXELS
        else:
            readers[axis] = ZERO_SHOT if all(words) else None
    return readers


class SetReader:
    """Reads the base image and every variant of the sets of a part."""

    def __init__(self, config: AuditConfig, recipe: GenerateConfig):
        quiet_libraries()
        device = use_device(config)
        appearances = load_appearances(recipe.appearances.file)
        readers = readers_for(config, recipe, appearances)
        self._axes = list(readers)
        self._classifiers = {
            axis: AttributeReader(model) for axis, model in readers.items() if model not in (None, PIXELS, ZERO_SHOT)
        }
        self._by_clip = {axis: 0.0 for axis, model in readers.items() if model == ZERO_SHOT}
        self._clip = ClipReader(ClipCheckConfig(model=config.model, min_probability=self._by_clip), appearances, device)
        pool = {"num_cpus": config.num_cpus, "num_gpus": config.num_gpus, "device": config.device}
        self._parser = PersonParser(recipe.masks.model_copy(update=pool)) if PIXELS in readers.values() else None

    def __call__(self, batch: dict[str, np.ndarray]) -> pa.Table:
        rows = [row for part in batch["part"] for row in read_table(part).to_pylist() if row["base"] is not None]
        return pa.Table.from_pylist([reading for row in rows for reading in self.read(row)], schema=readings_schema(self._axes))

    def read(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows of ``readings_schema`` of one set: its base image and its painted variants."""
        painted = [(i, variant) for i, variant in enumerate(row["variants"]) if variant["image"] is not None]
        pictures = [decode_picture(image) for image in (row["base"], *(variant["image"] for _, variant in painted))]
        mask = decode_mask(row["mask"]) if row["mask"] is not None else np.ones(pictures[0].shape[:2], bool)
        features, seen = self._clip.embed(pictures), self._appearance(pictures, mask)
        about = [(BASE, dict.fromkeys(self._axes), row["status"])]
        about += [
            (i, variant["attributes"], variant["status"] if row["status"] == KEPT else row["status"]) for i, variant in painted
        ]
        return [
            {
                "set_id": row["set_id"], "concept": row["concept"], "variant": variant, "status": status,
                "requested": requested, "read": read, "feature": feature.tolist(),
            }
            for (variant, requested, status), read, feature in zip(about, seen, features, strict=True)
        ]  # fmt: skip

    def _appearance(self, pictures: list[np.ndarray], mask: np.ndarray) -> list[dict[str, str | None]]:
        seen: list[dict[str, str | None]] = [{} for _ in pictures]
        for axis, reader in self._classifiers.items():
            for found, value in zip(seen, reader.read(pictures), strict=True):
                found[axis] = value
        if self._parser is not None:
            for found, picture in zip(seen, pictures, strict=True):
                colour = skin_colour(picture, np.isin(self._parser.label_map(picture), self._parser.skin) & mask)
                found["skin_tone"] = None if colour is None else str(nearest_monk_tone(colour))
        if not self._by_clip:
            return seen
        left, upper, right, lower = bounding_box(mask)
        persons = self._clip.embed([picture[upper:lower, left:right] for picture in pictures])
        for found, axes in zip(seen, self._clip.read(persons), strict=True):
            found |= {axis: max(shares, key=shares.get) for axis, shares in axes.items()}
        return seen
