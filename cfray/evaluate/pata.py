"""PATA: people in 24 scenes, by race, gender and age (Seth et al. 2023, arXiv 2303.10431). A list of URLs, not of images.

Layout:

    images_list   pata_fairness.files.lst, as published: lines "scene_race_gender_age|url"
    captions      pata_fairness.captions.json, as published: per scene a caption, and captions of good and bad repute
    images/       what could be downloaded: the number of a line, from 0, as the name of the file, in any sub-folder and with
      00000/000000123.jpg ...       any zeros in front (img2dataset writes such names)

Lines without an image are dead links: they are counted and listed with their URL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from cfray import storage
from cfray.errors import UserError
from cfray.evaluate.benchmark import Measurement, Settings
from cfray.evaluate.embedding_files import Embedded
from cfray.evaluate.embeddings import Encoder
from cfray.evaluate.images import Gallery, list_images
from cfray.evaluate.people import PeopleBenchmark, RankingConfig
from cfray.evaluate.ranking import Labels, rank_people
from cfray.evaluate.reading import ReadReport, index_images
from cfray.metrics import similarity, worst_group_recall

VALUES = {
    "race": ("black", "caucasian", "eastasian", "hispanic", "indian"),
    "gender": ("female", "male"),
    "age": ("young", "old"),
}
# What captions.json calls the attributes.
CAPTION_KEYS = {"race": "races", "gender": "gender", "age": "age"}
Attribute = Literal["gender", "race", "age"]


class PATAConfig(RankingConfig):
    """``images_list`` and ``captions`` are the two published files."""

    kind: Literal["pata"] = "pata"
    images_list: str
    captions: str
    images: str
    attributes: list[Attribute] = ["gender", "race", "age"]


class PATA(PeopleBenchmark):
    """All images ranked for prompts and for PATA's own captions of good and of bad repute; worst-group recall of scenes.

    ``fairness`` has ``pata_SET`` for each set of prompts, ``pata_positive`` and ``pata_negative``; ``accuracy`` has
    ``worst_group_recall_pata_ATTRIBUTE`` (mean over scenes of the worst group) and ``..._overall`` (worst group of the means).
    """

    def __init__(self, config: PATAConfig, settings: Settings):
        report = ReadReport("pata")
        self._scenes = {scene["short"]: scene for scene in _read_captions(config.captions)}
        lines, malformed = parse_list(storage.read_bytes(config.images_list).decode(), set(self._scenes))
        report.add("malformed lines", malformed)
        found = index_images(list_images(config.images), _line_number, report, "the number of a line")
        report.add("images without a line", (picture.name for number, picture in found.items() if number not in lines))
        report.add("dead links", (f"{number} {line['url']}" for number, line in lines.items() if number not in found))
        numbers = [number for number in lines if number in found]
        if not numbers:
            raise UserError(
                f"folder {config.images!r} has {len(found)} numbered images for the {len(lines)} lines of "
                f"{config.images_list!r}, none of them the same"
            )
        self._image_scene = [lines[number]["scene"] for number in numbers]
        report.facts |= {"scenes": len(set(self._image_scene)), "captions": len(self._scenes), "lines": len(lines)}
        labels = {attribute: [lines[number][attribute] for number in numbers] for attribute in config.attributes}
        super().__init__(Gallery("pata", tuple(found[n] for n in numbers)), labels, config, settings, report)

    def _measure(self, encoder: Encoder, images: Embedded, groups: Labels) -> Measurement:
        found = super()._measure(encoder, images, groups)
        for name, side in (("positive", "pos"), ("negative", "neg")):
            fairness, rankings = {}, {}
            for attribute, labels in groups.items():
                captions = [c for scene in self._scenes.values() for c in scene[side][CAPTION_KEYS[attribute]]]
                queries = encoder.texts(list(dict.fromkeys(captions)))
                one = rank_people(queries, images, {attribute: labels}, self._config.k, self._settings, f"{name} captions")
                fairness, rankings = fairness | one[0], rankings | one[1]
            gallery = f"{self.report.benchmark}_{name}"
            found.fairness[gallery], found.rankings[gallery] = fairness, rankings
        scenes = sorted(set(self._image_scene))
        scores = similarity(images.vectors, encoder.texts([neutral_caption(self._scenes[scene]["long"]) for scene in scenes]))
        image_scene = np.array([scenes.index(scene) for scene in self._image_scene])[images.readable]
        for attribute, labels in groups.items():
            ids = np.unique(np.array(labels)[images.readable], return_inverse=True)[1]
            recall = worst_group_recall(scores, image_scene, np.arange(len(scenes)), ids)
            found.accuracy[f"worst_group_recall_{self.report.benchmark}_{attribute}"] = recall.mean_of_min
            found.accuracy[f"worst_group_recall_{self.report.benchmark}_{attribute}_overall"] = recall.min_of_mean
        return found


def parse_list(content: str, scenes: set[str]) -> tuple[dict[int, dict[str, str]], list[str]]:
    """The lines of the list by number from 0, and those that are no "scene_race_gender_age|url" of a known scene.

    Scenes have "_" in their names (gun_range), the three values have none: they are read from the end.
    """
    lines, malformed = {}, []
    for number, line in enumerate(content.splitlines()):
        label, bar, url = line.partition("|")
        parts = label.rsplit("_", 3)
        values = dict(zip(VALUES, parts[1:], strict=False))
        known = len(parts) == 4 and parts[0] in scenes and all(values[key] in VALUES[key] for key in VALUES)
        if known and bar and url:
            lines[number] = {"scene": parts[0], "url": url, **values}
        elif line.strip():
            malformed.append(f"{number} {line[:80]}")
    return lines, malformed


def neutral_caption(template: str) -> str:
    """A scene's caption without attributes: "photo of {age}, {race} {gender} cooking" becomes "photo of a person cooking".

    Words in double braces stand before a noun and are dropped; the rest of the placeholders is the person.
    """
    caption = re.sub(r"\{\{\w+\}\}", "", template)
    caption = re.sub(r"\{(age|race)\},?", "", caption).replace("{gender}", "person")
    caption = " ".join(caption.replace(" ,", "").replace(", ", " ").split())
    return caption.replace("of person", "of a person")


def _line_number(name: str) -> int | None:
    stem = name.rpartition("/")[2].partition(".")[0]
    return int(stem) if stem.isdecimal() else None


def _read_captions(place: str) -> Sequence[dict[str, Any]]:
    try:
        scenes = json.loads(storage.read_bytes(place))
        for scene in scenes:
            _ = scene["short"], scene["long"], [scene[side][key] for side in ("pos", "neg") for key in CAPTION_KEYS.values()]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"captions file {place!r} is not PATA's: {error!r}; give pata_fairness.captions.json") from None
    return scenes
