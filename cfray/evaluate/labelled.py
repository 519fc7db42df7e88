"""Any labelled images: class folders, a table beside a folder, or a Parquet file with the images in it.

Layout, one of:

    images/CLASS/any.jpg                  the class is the name of the innermost folder (labels: null)
    labels.csv + images/                  a column with the file name relative to the folder, columns of classes and attributes;
                                          also .tsv, .jsonl and .parquet
    labels.parquet                        with a column of images, as bytes or as {bytes, path} (images: null)
    images/any/folders/any.jpg            no labels at all: attributes whose groups a CLIP infers (labels: null, attributes,
                                          ranking.groups)

A column of classes gives zero-shot accuracy, columns of attributes give fairness of rankings.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import pyarrow.parquet as pq
from pydantic import Field

from cfray import storage
from cfray.clip.model import ClipModel
from cfray.concepts.prompts import fill
from cfray.config import Config
from cfray.errors import UserError
from cfray.evaluate.benchmark import Measurement, Settings
from cfray.evaluate.embeddings import Encoder
from cfray.evaluate.images import Gallery, ParquetPicture, Picture, list_images, stat
from cfray.evaluate.people import PeopleBenchmark, RankingConfig, read_images
from cfray.evaluate.reading import ReadReport, index_rows, match_images, read_rows, text
from cfray.evaluate.zero_shot import zero_shot

FOLDER = "folder"


class LabelledConfig(Config):
    """``name`` is what results are called by.

    ``where`` takes only rows with these values, such as {split: test}. ``class_names`` are better names for classes, such as
    {police: police officer}; "_" is read as a space anyway. ``templates`` have ``{}`` in the place of the class and its
    article. ``ranking`` is needed with ``attributes``.
    """

    kind: Literal["labelled"] = "labelled"
    name: str
    images: str | None = None
    labels: str | None = None
    file_column: str = "file"
    image_column: str = "image"
    where: dict[str, str] = {}
    class_column: str | None = None
    class_names: dict[str, str] = {}
    templates: Annotated[list[str], Field(min_length=1)] = ["a photo of {}", "a picture of {}", "{}"]
    attributes: list[str] = []
    ranking: RankingConfig | None = None


class Labelled:
    """Zero-shot accuracy of classes, ``zero_shot_NAME``, and fairness of attributes, ``NAME_PROMPTS``."""

    def __init__(self, config: LabelledConfig, settings: Settings):
        self._config, self._settings = config, settings
        self.report = ReadReport(config.name, dict(config.where))
        _require_consistent(config)
        found = read_labelled(config, self.report)
        gallery = Gallery(config.name, tuple(picture for picture, _ in found))
        self.galleries = (gallery,)
        self._class_column = FOLDER if config.labels is None and not config.attributes else config.class_column
        self._prompts: list[list[str]] = []
        if self._class_column is not None:
            values = [text(row[self._class_column]) for _, row in found]
            classes = sorted(set(values) - {""})
            mute = (picture.name for picture, value in zip(gallery.pictures, values, strict=True) if not value)
            self.report.add("images without a class", mute)
            self._classes = np.array([classes.index(value) if value else -1 for value in values])
            names = [config.class_names.get(name, name.replace("_", " ")) for name in classes]
            self._prompts = [fill(config.templates, name) for name in names]
            self.report.facts |= {"classes": len(classes)}
        self.people: tuple[PeopleBenchmark, ...] = ()
        if config.attributes:
            # A gallery without labels has no column of them; groups are inferred then.
            labels = {attribute: [text(row.get(attribute)) or None for _, row in found] for attribute in config.attributes}
            self.people = (PeopleBenchmark(gallery, labels, config.ranking, settings, self.report),)
        else:
            self.report.facts |= {"images": len(gallery)}
            self.report.print_facts()

    def measure(self, clip: ClipModel) -> Measurement:
        measured = self.people[0].measure(clip) if self.people else Measurement()
        if self._prompts:
            encoder = Encoder(clip, self._settings)
            images = read_images(encoder, self.galleries[0], self.report)
            zero_shot(encoder, images, self._classes, self._prompts, self._config.name, measured)
        return measured


def _require_consistent(config: LabelledConfig) -> None:
    """UserError for what the fields alone cannot rule out."""
    if config.images is None and config.labels is None:
        raise UserError(f"{config.name} has neither images nor labels; give a folder, a table, or both")
    if config.images is None and not config.labels.endswith(".parquet"):
        raise UserError(f"{config.name} has labels={config.labels!r} and no images; only a .parquet file can hold the images")
    if config.labels is None and ((config.attributes and not _inferred(config)) or config.where or config.class_column):
        raise UserError(
            f"{config.name} has no labels file, which class_column, attributes and where are columns of; attributes alone can "
            "do without, by ranking.groups: {infer: clip}"
        )
    if config.attributes and config.ranking is None:
        raise UserError(f"{config.name} has attributes and no ranking; give ranking: {{k: [...]}}")
    if config.labels is not None and not config.attributes and config.class_column is None:
        raise UserError(f"{config.name} has nothing to measure; give class_column, attributes or both")
    for template in config.templates:
        if template.count("{}") != 1:
            raise UserError(f"template {template!r} of {config.name} must have exactly one {{}}")


def read_labelled(config: LabelledConfig, report: ReadReport) -> list[tuple[Picture, dict[str, Any]]]:
    """The images of a configuration, each with the columns that it names; of class folders the only column is ``FOLDER``.

    Raises:
        UserError: for a place, a file, a column or a value that does not fit.
    """
    if config.labels is None:
        images = list_images(config.images)
        if config.attributes and images:
            return [(picture, {}) for picture in images.values()]
        folders = {name: name.rpartition("/")[0].rpartition("/")[2] for name in images}
        report.add("images in no class folder", (name for name, folder in folders.items() if not folder))
        found = [(images[name], {FOLDER: folder}) for name, folder in folders.items() if folder]
        if not found:
            raise UserError(f"folder {config.images!r} has {len(images)} images and none in a class folder")
        return found
    columns = [*config.where, *([config.class_column] if config.class_column else [])]
    # With inferred groups labels are only what those are compared with.
    optional = config.attributes if _inferred(config) else []
    columns += [] if optional else config.attributes
    if config.images is None:
        found = [(picture, row) for picture, row in _parquet(config, columns, optional) if _wanted(config, row)]
    else:
        rows = read_rows(config.labels, (config.file_column, *columns), optional)
        rows = index_rows(rows, config.file_column, report)
        wanted = {name: row for name, row in rows.items() if _wanted(config, row)}
        images = {name: p for name, p in list_images(config.images).items() if name in wanted or name not in rows}
        found = []
        if wanted:
            names = match_images(wanted, images, report, config.labels, config.images)
            found = [(images[name], wanted[name]) for name in names]
    if not found:
        raise UserError(f"where={config.where}: no row of {config.labels!r} has these values")
    return found


def _inferred(config: LabelledConfig) -> bool:
    return config.ranking is not None and config.ranking.groups is not None


def _wanted(config: LabelledConfig, row: dict[str, Any]) -> bool:
    return all(text(row[column]) == value for column, value in config.where.items())


def _parquet(config: LabelledConfig, columns: list[str], optional: list[str]) -> list[tuple[Picture, dict[str, Any]]]:
    filesystem, path = storage.resolve(config.labels)
    stamp, found = stat(config.labels), []
    with filesystem.open_input_file(path) as stream:
        file = pq.ParquetFile(stream)
        missing = [column for column in (config.image_column, *columns) if column not in file.schema_arrow.names]
        if missing:
            have = ", ".join(file.schema_arrow.names)
            raise UserError(f"Parquet file {config.labels!r} has no column {missing[0]!r}; it has {have}")
        columns = [*columns, *(name for name in optional if name in file.schema_arrow.names)]
        for group in range(file.num_row_groups):
            for row, values in enumerate(file.read_row_group(group, columns=columns).to_pylist()):
                number = len(found)
                picture = ParquetPicture(
                    name=f"row {number}", place=config.labels, stamp=stamp, column=config.image_column, group=group, row=row
                )
                found.append((picture, values))
    return found
