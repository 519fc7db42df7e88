"""Any images with captions in a table.

Layout:

    captions   .jsonl, .csv, .tsv or .parquet: a column with the file name of the image and one with its caption (several rows
               per image) or, in .jsonl and .parquet, a list of captions
    images/    the folder that the file names are relative to
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from cfray.config import Config
from cfray.errors import UserError
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.images import Gallery, list_images
from cfray.evaluate.reading import ReadReport, match_images, read_rows, text
from cfray.evaluate.retrieval import RetrievalBenchmark


class CaptionsConfig(Config):
    """``name`` is what results are called by. ``below`` takes only files whose name begins with it, such as "val2017/"."""

    kind: Literal["captions"] = "captions"
    name: str = "captions"
    captions: str
    images: str
    file_column: str = "file"
    caption_column: str = "captions"
    below: str = ""
    captions_per_image: int | None = Field(None, ge=1)


class Captions(RetrievalBenchmark):
    """Recall of a table of captions. Left out and listed: rows without a file or a caption, rows without an image, images
    without a row."""

    def __init__(self, config: CaptionsConfig, settings: Settings):
        report = ReadReport(config.name, {"files below": config.below or config.images})
        captions: dict[str, list[str]] = {}
        incomplete = []
        for number, row in enumerate(read_rows(config.captions, (config.file_column, config.caption_column)), start=1):
            file, found = text(row[config.file_column]), _captions(row[config.caption_column])
            if not file or not found:
                incomplete.append(f"row {number} {file}".strip())
            if file.startswith(config.below) and file:
                captions.setdefault(file, []).extend(found)
        report.add("rows without a file or a caption", incomplete)
        if not captions:
            raise UserError(f"below={config.below!r}: no file in {config.captions!r} begins with it")
        images = {name: p for name, p in list_images(config.images).items() if name.startswith(config.below)}
        names = match_images(captions, images, report, config.captions, config.images)
        gallery = Gallery(config.name, tuple(images[name] for name in names))
        super().__init__(gallery, [captions[name] for name in names], config.captions_per_image, settings, report)


def _captions(cell: Any) -> list[str]:
    return [caption for caption in map(text, cell if isinstance(cell, list) else [cell]) if caption]
