"""Reads the labelled images of a classifier: train, validation and test, with true groups where they may be read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cfray.errors import UserError
from cfray.evaluate.images import Gallery
from cfray.evaluate.labelled import FOLDER, LabelledConfig, read_labelled
from cfray.evaluate.reading import ReadReport, text
from cfray.groups.config import ClassifyConfig, SamplesConfig

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Samples:
    """n images with class ids 0..C-1 and, where they were read, n names of true groups."""

    gallery: Gallery
    labels: np.ndarray
    groups: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Samples:
        """The samples at ``rows``, indices or a mask (n,)."""
        gallery = Gallery(self.gallery.name, tuple(np.array(self.gallery.pictures, dtype=object)[rows]))
        return Samples(gallery, self.labels[rows], None if self.groups is None else self.groups[rows])


def read_samples(config: ClassifyConfig) -> tuple[dict[str, Samples], list[str]]:
    """All splits and the sorted names of the C classes.

    Groups are read of the test samples, which no training sees, and of the others with ``oracle`` only.

    Raises:
        UserError: if images or labels do not fit, there is one class only, or validation or test have a class that training
            lacks.
    """
    places = {"train": config.train, "validation": config.validation, "test": config.test}
    found = {split: _read(split, place, config.oracle or split == "test") for split, place in places.items() if place}
    classes = sorted(set(found["train"][1]))
    if len(classes) < 2:
        raise UserError(f"the training samples have one class, {classes[0]!r}; a classifier needs two")
    for split, (_, names, _) in found.items():
        unknown = sorted(set(names) - set(classes))
        if unknown:
            raise UserError(f"{split} has class {unknown[0]!r}, which no training sample has; those have {', '.join(classes)}")
    samples = {
        split: Samples(gallery, np.array([classes.index(name) for name in names]), groups)
        for split, (gallery, names, groups) in found.items()
    }
    if config.validation is None:
        held_out = _held_out(samples["train"].labels, config.validation_share)
        samples["validation"], samples["train"] = samples["train"].take(held_out), samples["train"].take(~held_out)
    return samples, classes


def _read(split: str, place: SamplesConfig, with_groups: bool) -> tuple[Gallery, list[str], np.ndarray | None]:
    attributes = [place.group_column] if with_groups and place.group_column else []
    if place.labels is not None and place.class_column is None:
        raise UserError(f"{split}.labels={place.labels!r} needs {split}.class_column, the column that holds the class")
    config = LabelledConfig(
        name=split, images=place.images, labels=place.labels, file_column=place.file_column, image_column=place.image_column,
        where=place.where, class_column=place.class_column, attributes=attributes,
    )  # fmt: skip
    rows = read_labelled(config, ReadReport(split))
    values = [text(row[FOLDER if place.labels is None else place.class_column]) for _, row in rows]
    names = [place.class_map.get(value, "") if place.class_map else value for value in values]
    kept = [i for i, name in enumerate(names) if name]
    if not kept:
        raise UserError(f"{split} has {len(rows)} images and none with a class of class_map; its values are {set(values)}")
    groups = None
    if attributes:
        groups = np.array([text(rows[i][1][place.group_column]) for i in kept])
        if (groups == "").any():
            raise UserError(f"{(groups == '').sum()} samples of {split} have no {place.group_column}; leave them out by where")
    return Gallery(split, tuple(rows[i][0] for i in kept)), [names[i] for i in kept], groups


def _held_out(labels: np.ndarray, share: float) -> np.ndarray:
    """(n,) bool: a random ``share`` of every class, at least one sample and never all of it."""
    chosen, rng = np.zeros(len(labels), bool), np.random.default_rng(0)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        chosen[members[: min(max(1, round(share * len(members))), len(members) - 1)]] = True
    return chosen


def without_unreadable(samples: Samples, readable: np.ndarray, split: str) -> Samples:
    """The samples whose image could be decoded; the others are counted and printed."""
    if readable.all():
        return samples
    names = [p.name for p, good in zip(samples.gallery.pictures, readable, strict=True) if not good]
    ReadReport(split).add("unreadable images", names)
    return samples.take(readable)
