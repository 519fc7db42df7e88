"""FairFace: faces with perceived gender, race and age (Kärkkäinen & Joo 2021, arXiv 1908.04913; CC BY 4.0).

Layout, as published:

    labels      fairface_label_val.csv with the columns file, age, gender, race
    images/     the folder that the names in ``file`` are relative to
      val/1.jpg ...

Two versions of the images are published, with a margin of 0.25 or of 1.25 face sizes; numbers differ between them.
"""

from __future__ import annotations

from typing import Literal

from cfray.errors import UserError
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.images import Gallery, list_images
from cfray.evaluate.people import PeopleBenchmark, RankingConfig, age_group
from cfray.evaluate.reading import ReadReport, index_rows, match_images, read_rows, text

VALUES = {
    "gender": ("Male", "Female"),
    "race": ("White", "Black", "Latino_Hispanic", "East Asian", "Southeast Asian", "Indian", "Middle Eastern"),
    "age": ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70", "70+"),
}
Attribute = Literal["gender", "race", "age", "age3"]


class FairFaceConfig(RankingConfig):
    """``split`` is the folder in front of the names in the label file; ``padding`` says which images these are.

    ``age3`` are three age groups: below 30, 30 to 59, 60 and above.
    """

    kind: Literal["fairface"] = "fairface"
    labels: str
    images: str
    split: str = "val"
    padding: Literal["0.25", "1.25"]
    attributes: list[Attribute] = ["gender", "race"]


class FairFace(PeopleBenchmark):
    """FairFace faces ranked for prompts. Left out and listed: rows without an image, images without a row, faces with a
    label that is missing or none of FairFace's (ages such as "Oct-19" come from a spreadsheet)."""

    def __init__(self, config: FairFaceConfig, settings: Settings):
        report = ReadReport("fairface", {"split": config.split, "padding": config.padding})
        rows = index_rows(read_rows(config.labels, ("file", "age", "gender", "race")), "file", report)
        names = [name for name in rows if name.startswith(f"{config.split}/")]
        if not names:
            first = next(iter(rows), "none")
            raise UserError(f"split={config.split!r}: no file in {config.labels!r} begins with it; the first is {first!r}")
        folder = f"{config.images.rstrip('/')}/{config.split}"
        images = {f"{config.split}/{name}": picture for name, picture in list_images(folder).items()}
        files = match_images(names, images, report, config.labels, config.images)
        labels: dict[str, list[str | None]] = {}
        for attribute in config.attributes:
            column = "age" if attribute == "age3" else attribute
            values = {file: text(rows[file][column]) for file in files}
            strange = (f"{file} ({value})" for file, value in values.items() if value not in ("", *VALUES[column]))
            report.add(f"labels of {attribute} that FairFace does not have", strange)
            known = [value if value in VALUES[column] else None for value in values.values()]
            labels[attribute] = [_age3(value) for value in known] if attribute == "age3" else known
        pictures = tuple(images[file] for file in files)
        super().__init__(Gallery("fairface", pictures), labels, config, settings, report)


def _age3(value: str | None) -> str | None:
    if value is None:
        return None
    return age_group(70 if value in ("more than 70", "70+") else int(value.partition("-")[0]))
