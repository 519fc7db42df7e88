"""FACET: people in photos, with a box and perceived gender, age and skin tone (Gustafson et al. 2023, arXiv 2309.00035;
evaluation only, by its licence).

Layout, as published:

    labels      annotations/annotations.csv, one row per person: person_id, filename, bounding_box, gender_presentation_*,
                age_presentation_*, skin_tone_1 ... skin_tone_10 (how many annotators chose each step of the Monk scale)
    images/     the photos, in any sub-folders (imgs_1, imgs_2, imgs_3)

Each person is one image of the gallery, cut out by the box; ``crop: false`` ranks whole photos, with one entry per person.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from cfray.concepts.appearance import tone_group
from cfray.errors import UserError
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.images import Box, Gallery, list_images
from cfray.evaluate.people import PeopleBenchmark, RankingConfig
from cfray.evaluate.reading import ReadReport, index_images, index_rows, match_images, read_rows, text

TONES = [f"skin_tone_{step}" for step in range(1, 11)]
GENDERS = {"gender_presentation_masc": "masculine", "gender_presentation_fem": "feminine"}
AGES = {"age_presentation_young": "young", "age_presentation_middle": "middle", "age_presentation_older": "older"}
COLUMNS = ("person_id", "filename", "bounding_box", *GENDERS, *AGES, *TONES)
Attribute = Literal["gender", "age", "skin_tone"]


class FACETConfig(RankingConfig):
    """``skin_tone`` are three groups of Monk steps: light 1-4, medium 5-7, dark 8-10."""

    kind: Literal["facet"] = "facet"
    labels: str
    images: str
    crop: bool = True
    attributes: list[Attribute] = ["gender", "age", "skin_tone"]


class FACET(PeopleBenchmark):
    """FACET's people ranked for prompts. A person has no group of an attribute where annotators saw none of its values or as
    many of one as of another; people with a box that cannot be read are left out of all rankings."""

    def __init__(self, config: FACETConfig, settings: Settings):
        report = ReadReport("facet", {"images are": "people cut out by their boxes" if config.crop else "whole photos"})
        rows = index_rows(read_rows(config.labels, COLUMNS), "person_id", report)
        found = index_images(list_images(config.images), lambda name: name.rpartition("/")[2], report, "the file name")
        files = set(match_images((text(row["filename"]) for row in rows.values()), found, report, config.labels, config.images))
        boxes = {person: parse_box(text(row["bounding_box"])) for person, row in rows.items()}
        people = {person: row for person, row in rows.items() if text(row["filename"]) in files}
        if config.crop:
            report.add("people with a malformed box", (person for person in people if boxes[person] is None))
            people = {person: row for person, row in people.items() if boxes[person] is not None}
        if not people:
            raise UserError(f"label file {config.labels!r} has no person with a box and an image")
        report.facts["photos"] = len({text(row["filename"]) for row in people.values()})
        pictures = tuple(
            replace(found[file := text(row["filename"])], name=f"{file}#{person}", box=boxes[person] if config.crop else None)
            for person, row in people.items()
        )
        readers: dict[str, Callable[[dict[str, Any]], str | None]] = {
            "gender": lambda row: most_voted(row, GENDERS), "age": lambda row: most_voted(row, AGES), "skin_tone": skin_tone,
        }  # fmt: skip
        labels = {attribute: [readers[attribute](row) for row in people.values()] for attribute in config.attributes}
        super().__init__(Gallery("facet", pictures), labels, config, settings, report)


def parse_box(cell: str) -> Box | None:
    """(x, y, width, height) of a cell like '{"x": 1, "y": 2, "width": 30, "height": 40, ...}', or None."""
    try:
        box = ast.literal_eval(cell)
        x, y, width, height = (float(box[key]) for key in ("x", "y", "width", "height"))
    except (ValueError, SyntaxError, TypeError, KeyError):
        return None
    return (x, y, width, height) if width > 0 and height > 0 else None


def most_voted(row: dict[str, Any], columns: dict[str, str]) -> str | None:
    """The value whose column has the largest number, None if all are 0 or two have it."""
    votes = {value: _number(row[column]) for column, value in columns.items()}
    top = max(votes.values())
    first = [value for value, count in votes.items() if count == top]
    return first[0] if top > 0 and len(first) == 1 else None


def skin_tone(row: dict[str, Any]) -> str | None:
    """light, medium or dark by most votes of the annotators, None without a majority."""
    votes: dict[str, float] = {}
    for step, column in enumerate(TONES, start=1):
        votes[tone_group(step)] = votes.get(tone_group(step), 0) + _number(row[column])
    return most_voted(votes, {group: group for group in votes})


def _number(cell: Any) -> float:
    try:
        return float(text(cell) or 0)
    except ValueError:
        return 0.0
