"""UTKFace: faces with age, gender and race in the name of the file (Zhang, Song, Qi 2017; research use only).

Layout, as published (aligned and cropped, or in the wild; sub-folders are looked into):

    images/
      [age]_[gender]_[race]_[date and time].jpg.chip.jpg

gender is 0 (male) or 1 (female); race is 0 (White), 1 (Black), 2 (Asian), 3 (Indian) or 4 (others). Some published names lack
a part: they are counted and listed, and the faces are left out.
"""

from __future__ import annotations

import re
from typing import Literal

from cfray.errors import UserError
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.images import Gallery, list_images
from cfray.evaluate.people import PeopleBenchmark, RankingConfig, age_group
from cfray.evaluate.reading import ReadReport

NAME = re.compile(r"(?P<age>\d{1,3})_(?P<gender>[01])_(?P<race>[0-4])_\d{8,}\D.*")
GENDERS = ("Male", "Female")
RACES = ("White", "Black", "Asian", "Indian", "Others")


class UTKFaceConfig(RankingConfig):
    """``age3`` are three age groups: below 30, 30 to 59, 60 and above."""

    kind: Literal["utkface"] = "utkface"
    images: str
    attributes: list[Literal["gender", "race", "age3"]] = ["gender", "race"]


class UTKFace(PeopleBenchmark):
    """UTKFace faces ranked for prompts."""

    def __init__(self, config: UTKFaceConfig, settings: Settings):
        report = ReadReport("utkface")
        found = list_images(config.images)
        labels = {name: parse_name(name) for name in found}
        named = [name for name, parsed in labels.items() if parsed is not None]
        if not named:
            raise UserError(
                f"folder {config.images!r} has {len(found)} images, none named [age]_[gender]_[race]_[date].jpg as in UTKFace"
            )
        report.add("malformed names", (name for name, parsed in labels.items() if parsed is None))
        by_attribute = {attribute: [labels[name][attribute] for name in named] for attribute in config.attributes}
        super().__init__(Gallery("utkface", tuple(found[name] for name in named)), by_attribute, config, settings, report)


def parse_name(name: str) -> dict[str, str] | None:
    """gender, race and age3 of a file name, or None where a part is missing or out of range."""
    match = NAME.fullmatch(name.rpartition("/")[2])
    if match is None:
        return None
    age, gender, race = (int(match[part]) for part in ("age", "gender", "race"))
    return {"gender": GENDERS[gender], "race": RACES[race], "age3": age_group(age)}
