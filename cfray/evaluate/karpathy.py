"""Flickr30k and COCO with the splits of Karpathy & Fei-Fei 2015 (arXiv 1412.2306).

Layout, as published:

    annotations   dataset_flickr30k.json or dataset_coco.json: {"images": [{"filename", "filepath" (COCO), "split",
                  "sentences": [{"raw"}, ...]}, ...]}
    images/       Flickr30k: 1000092795.jpg ...; COCO: val2014/COCO_val2014_000000391895.jpg ...

The usual numbers are those of 1,000 (Flickr30k) and 5,000 (COCO) test images with 5 captions each.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field

from cfray import storage
from cfray.config import Config
from cfray.errors import UserError
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.images import Gallery, list_images
from cfray.evaluate.reading import ReadReport, match_images
from cfray.evaluate.retrieval import RetrievalBenchmark


class KarpathyConfig(Config):
    """``annotations`` is one of the two published files. Some COCO images have six or seven captions: the first
    ``captions_per_image`` count, None takes all."""

    kind: Literal["flickr30k", "coco"]
    annotations: str
    images: str
    split: Literal["train", "restval", "val", "test"] = "test"
    captions_per_image: int | None = Field(5, ge=1)


class Karpathy(RetrievalBenchmark):
    """Recall of a split. Left out and listed: entries without an image. Images of other splits are no problem, images that
    the file does not name at all are listed."""

    def __init__(self, config: KarpathyConfig, settings: Settings):
        report = ReadReport(config.kind, {"split": config.split})
        entries = _read(config.annotations)
        rows = {name: entry for name, entry in entries.items() if entry["split"] == config.split}
        if not rows:
            splits = ", ".join(sorted({entry["split"] for entry in entries.values()}))
            raise UserError(f"split={config.split!r}: no image in {config.annotations!r} is of it; it has {splits}")
        images = {name: p for name, p in list_images(config.images).items() if name in rows or name not in entries}
        names = match_images(rows, images, report, config.annotations, config.images)
        captions = [[raw for sentence in rows[name]["sentences"] if (raw := sentence["raw"].strip())] for name in names]
        gallery = Gallery(config.kind, tuple(images[name] for name in names))
        super().__init__(gallery, captions, config.captions_per_image, settings, report)


def _read(place: str) -> dict[str, dict[str, Any]]:
    """The entries by the path of the image."""
    try:
        images = json.loads(storage.read_bytes(place))["images"]
        entries = {"/".join(filter(None, (entry.get("filepath"), entry["filename"]))): entry for entry in images}
        for entry in images:
            _ = entry["split"], [sentence["raw"].strip() for sentence in entry["sentences"]]
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"annotations file {place!r} is not Karpathy's: {error!r}; give dataset_NAME.json") from None
    return entries
