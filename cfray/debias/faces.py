"""Pictures of people to fit on: a table of files, UTKFace's file names, cfray's own counterfactual sets, a bare folder."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cfray.concepts.appearance import TONE_GROUPS, tone_group
from cfray.dataset.schema import KEPT, decode_mask, decode_picture, encode_png
from cfray.dataset.store import read_sets
from cfray.debias.cache import Picture
from cfray.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
UTKFACE_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_\d+")
UTKFACE_GENDERS, UTKFACE_RACES = ("Male", "Female"), ("White", "Black", "Asian", "Indian", "Others")
AGE_BINS = {"0-2": 2, "3-9": 9, "10-19": 19, "20-29": 29, "30-39": 39, "40-49": 49, "50-59": 59, "60-69": 69, "70+": 200}
"""FairFace's bins and the last year of each."""


@dataclass
class LabelledPictures:
    """Pictures with labels.

    ``labels`` maps an attribute to n strings. ``sets`` numbers the counterfactual set of each picture, ``cut_outs`` are the
    pictures again with nothing but the person in them; both are None where pictures have no counterfactuals. ``captions``
    describe the pictures and name nobody's appearance. ``skipped`` counts, by reason, what was found and not taken.
    """

    pictures: list[Picture]
    labels: dict[str, np.ndarray]
    sets: np.ndarray | None = None
    skipped: dict[str, int] = field(default_factory=dict)
    cut_outs: list[Picture] | None = None
    captions: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pictures)


def read_labelled_table(
    file: str, attributes: list[str], *, where: dict[str, str] | None = None, picture_column: str = "file"
) -> LabelledPictures:
    """Read a CSV with one row per picture, such as FairFace's: a column with its path, one per attribute.

    Args:
        file: local path; picture paths are relative to its folder.
        attributes: columns to read as labels.
        where: {column: value} of the rows to take; the others are counted in ``skipped``.
        picture_column: the column of paths.

    Raises:
        UserError: if the file, a column or a picture is missing, or there is no row.
    """
    table = Path(file)
    if not table.is_file():
        raise UserError(f"face table {file!r} not found; give a CSV with a column {picture_column!r} and one per attribute")
    with table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    where, total = where or {}, len(rows)
    missing = [column for column in (picture_column, *attributes, *where) if not rows or column not in rows[0]]
    if missing:
        found = ", ".join(rows[0]) if rows else "no row"
        raise UserError(f"face table {file!r} has no column {missing[0]!r}; it has {found}")
    rows = [row for row in rows if all(row[column] == value for column, value in where.items())]
    if not rows:
        raise UserError(f"face table {file!r} has no row of {total} with {where}; look at that column's values")
    pictures = [table.parent / row[picture_column] for row in rows]
    absent = [path for path in pictures if not path.is_file()]
    if absent:
        raise UserError(f"{len(absent)} of {len(pictures)} pictures of {file!r} are not there, first {str(absent[0])!r}")
    labels = {name: np.array([row[name] for row in rows]) for name in attributes}
    return LabelledPictures(list(pictures), labels, skipped={"other rows": total - len(rows)})


def read_utkface(folder: str, attributes: list[str]) -> LabelledPictures:
    """Read UTKFace, whose labels are in its file names: ``[age]_[gender]_[race]_[date]``; ages become FairFace's bins.

    Files whose names lack a label, as some of the published ones do, are left out and counted in ``skipped``.

    Raises:
        UserError: if an attribute is none of gender, race and age, or no file has a name of this form.
    """
    unknown = [name for name in attributes if name not in ("gender", "race", "age")]
    if unknown:
        raise UserError(f"attribute {unknown[0]!r} is not in UTKFace; it has gender, race and age")
    pictures, rows, malformed = [], [], 0
    for path in sorted(Path(folder).rglob("*.jpg")):
        match = UTKFACE_NAME.match(path.name)
        if match is None:
            malformed += 1
            continue
        age = next(name for name, last in AGE_BINS.items() if int(match[1]) <= last)
        rows.append({"gender": UTKFACE_GENDERS[int(match[2])], "race": UTKFACE_RACES[int(match[3])], "age": age})
        pictures.append(path)
    if not pictures:
        raise UserError(f"no UTKFace picture in {folder!r}; its files are named [age]_[gender]_[race]_[date].jpg")
    labels = {name: np.array([row[name] for row in rows]) for name in attributes}
    return LabelledPictures(pictures, labels, skipped={"malformed name": malformed})


def read_folder(folder: str) -> LabelledPictures:
    """The pictures below a folder, without labels.

    Raises:
        UserError: if there is none.
    """
    pictures = [path for path in sorted(Path(folder).rglob("*")) if path.suffix.lower() in SUFFIXES]
    if not pictures:
        raise UserError(f"no picture ({', '.join(SUFFIXES)}) in folder {folder!r}; give the folder that holds them")
    return LabelledPictures(list(pictures), {})


def read_counterfactual_sets(dataset: str, attributes: list[str]) -> LabelledPictures:
    """Read the kept variants of a data set of ``jobs/generate.py``; those of one set are each other's counterfactuals.

    Beside them come the people cut out of them by the masks of the sets, and the captions.

    A Monk step as the value of ``skin_tone`` becomes its tone group (light, medium, dark).

    Raises:
        UserError: if there is no data set, a variant lacks an attribute, or no set has two kept variants.
    """
    pictures, cut_outs, captions, rows, sets, alone = [], [], {}, [], [], 0
    for number, row in enumerate(read_sets(dataset).to_pylist()):
        kept = [variant for variant in row["variants"] if variant["status"] == KEPT]
        if len(kept) < 2:
            alone += 1
            continue
        captions[row["caption"]] = True
        mask = decode_mask(row["mask"])
        for variant in kept:
            missing = [name for name in attributes if (variant["attributes"] or {}).get(name) is None]
            if missing:
                known = ", ".join(variant["attributes"] or {}) or "none"
                raise UserError(f"set {row['set_id']} of {dataset!r} has a variant without {missing[0]!r}; it has {known}")
            pictures.append(variant["image"]["bytes"])
            cut_outs.append(encode_png(cut_out(decode_picture(variant["image"]), mask))["bytes"])
            rows.append({name: _group(name, variant["attributes"][name]) for name in attributes})
            sets.append(number)
    if not pictures:
        raise UserError(f"no set of {dataset!r} has two kept variants, so no image has a counterfactual")
    labels = {name: np.array([row[name] for row in rows]) for name in attributes}
    skipped = {"sets with one variant": alone}
    return LabelledPictures(pictures, labels, np.array(sets), skipped, cut_outs, tuple(captions))


def cut_out(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The person before the mean colour of the scene.

    In a scene a text finds its place, attire and tools, and who is there hardly counts; in a portrait there is nothing else
    to go by. So what a fit is to even out shows in the person alone.

    Args:
        picture: uint8 (h, w, 3).
        mask: bool (h, w), True where the person is; one that is the same everywhere leaves the picture as it is.
    """
    scene = ~mask
    if scene.all() or mask.all():
        return picture
    return np.where(scene[:, :, None], picture[scene].mean(axis=0), picture).astype(np.uint8)


def _group(attribute: str, value: str) -> str:
    return tone_group(int(value)) if attribute == "skin_tone" and value not in TONE_GROUPS else value
