"""WebDatasets as CLIP_benchmark writes them (LAION, clip_benchmark.webdataset_builder).

Layout:

    data/
      classnames.txt                        one class per line (classification)
      zeroshot_classification_templates.txt  one template per line, the class as {c} (classification)
      dataset_type.txt                      "retrieval" for captions; no file, or "classification", for classes
      SPLIT/
        nshards.txt                         how many shards there are
        0.tar, 1.tar, ...                   per sample KEY.jpg (or webp, png) with KEY.cls, the number of the class, or
                                            KEY.txt, one caption per line
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, field
from typing import Any, Literal

from cfray import storage
from cfray.clip.model import ClipModel
from cfray.config import Config
from cfray.errors import UserError
from cfray.evaluate.benchmark import Measurement, Settings
from cfray.evaluate.images import SUFFIXES, Gallery, TarPicture, stat
from cfray.evaluate.reading import ReadReport
from cfray.evaluate.retrieval import RetrievalBenchmark
from cfray.evaluate.zero_shot import ZeroShotBenchmark

TEXTS = (".cls", ".txt")


class WebDatasetConfig(Config):
    """``name`` is what results are called by; ``data`` is the folder with classnames.txt and the folder of the split."""

    kind: Literal["webdataset"] = "webdataset"
    name: str
    data: str
    split: str = "test"


@dataclass
class Sample:
    """One sample of a shard: its image and its texts (.cls, .txt) by suffix."""

    picture: TarPicture | None = None
    texts: dict[str, str] = field(default_factory=dict)


class WebDataset:
    """Zero-shot classification or retrieval, as dataset_type.txt says. Left out and listed: samples without an image,
    without a label, or with a label that is no class."""

    people = ()

    def __init__(self, config: WebDatasetConfig, settings: Settings):
        kind = (_read_text(config.data, "dataset_type.txt") or "classification").strip().lower()
        self.report = report = ReadReport(config.name, {"type": kind, "split": config.split})
        samples = read_shards(storage.join(config.data, config.split), report)
        report.facts["shards"] = len({sample.picture.place for sample in samples.values() if sample.picture})
        if kind == "retrieval":
            pictures = tuple(sample.picture for sample in samples.values())
            captions = [(sample.texts.get(".txt") or "").splitlines() for sample in samples.values()]
            captions = [[caption.strip() for caption in row if caption.strip()] for row in captions]
            self._task: Any = RetrievalBenchmark(Gallery(config.name, pictures), captions, None, settings, report)
        elif kind == "classification":
            names, templates = (_lines(config.data, f"{n}.txt") for n in ("classnames", "zeroshot_classification_templates"))
            prompts = [[template.replace("{c}", name) for template in templates] for name in names]
            labelled = with_class(samples, len(names), report)
            gallery = Gallery(config.name, tuple(samples[key].picture for key in labelled))
            self._task = ZeroShotBenchmark(gallery, list(labelled.values()), prompts, settings, report)
        else:
            raise UserError(f"{config.data!r} is of type {kind!r}; cfray evaluates classification and retrieval")
        self.galleries = self._task.galleries

    def measure(self, clip: ClipModel) -> Measurement:
        return self._task.measure(clip)


def read_shards(folder: str, report: ReadReport) -> dict[str, Sample]:
    """The samples with an image of all tar files of a folder, by shard and key, in order. No image is read.

    Raises:
        UserError: if there is no shard, nshards.txt names another number of them, one is damaged, or no sample has an image.
    """
    shards = list_shards(folder)
    if not shards:
        raise UserError(f"folder {folder!r} has no .tar file")
    count = _read_text(folder, "nshards.txt")
    if count is not None and count.strip() != str(len(shards)):
        raise UserError(f"{folder!r} has {len(shards)} .tar files and nshards.txt says {count.strip()}; fetch the missing ones")
    samples: dict[str, Sample] = {}
    for shard in shards:
        samples |= _read_shard(shard)
    report.add("samples without an image", (key for key, sample in samples.items() if sample.picture is None))
    found = {key: sample for key, sample in samples.items() if sample.picture is not None}
    if not found:
        raise UserError(f"the {len(shards)} .tar files of {folder!r} have {len(samples)} samples and no image")
    return found


def list_shards(folder: str) -> list[str]:
    """The tar files that lie in a folder itself, by number where they have one; none if there is no such folder."""
    root = storage.resolve(folder)[1].rstrip("/")
    shards = [place for place in storage.list_files(folder, ".tar") if storage.resolve(place)[1].rpartition("/")[0] == root]
    return sorted(shards, key=_shard_order)


def with_class(samples: dict[str, Sample], n_classes: int, report: ReadReport) -> dict[str, int]:
    """The class of every sample that has one of 0..n_classes-1 in its .cls."""
    texts = {key: sample.texts.get(".cls", "").strip() for key, sample in samples.items()}
    report.add("samples without a label", (key for key, label in texts.items() if not label))
    valid = {key: int(label) for key, label in texts.items() if label.isdecimal() and int(label) < n_classes}
    strange = (f"{key} ({label})" for key, label in texts.items() if label and key not in valid)
    report.add(f"samples with a label that is none of the {n_classes} classes", strange)
    if not valid:
        raise UserError(f"none of the {len(samples)} samples of {report.benchmark} has a label of the {n_classes} classes")
    return valid


def _read_shard(place: str) -> dict[str, Sample]:
    filesystem, path = storage.resolve(place)
    stamp, samples = stat(place), {}
    try:
        with filesystem.open_input_file(path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                folder, slash, name = member.name.rpartition("/")
                stem, dot, extension = name.partition(".")
                key = f"{place.rpartition('/')[2]}/{folder}{slash}{stem}"
                suffix = (dot + extension).lower()
                if suffix in SUFFIXES:
                    at = member.offset_data
                    picture = TarPicture(name=key, place=place, stamp=f"{stamp}-{at}", offset=at, size=member.size)
                    samples.setdefault(key, Sample()).picture = picture
                elif suffix in TEXTS:
                    samples.setdefault(key, Sample()).texts[suffix] = archive.extractfile(member).read().decode()
    except tarfile.TarError as error:
        raise UserError(f"shard {place!r} is damaged or compressed: {error}") from None
    return samples


def _shard_order(place: str) -> tuple[int, int, str]:
    stem = place.rpartition("/")[2].removesuffix(".tar")
    return (0, int(stem), place) if stem.isdecimal() else (1, 0, place)


def _read_text(folder: str, name: str) -> str | None:
    place = storage.join(folder, name)
    return storage.read_bytes(place).decode() if storage.exists(place) else None


def _lines(folder: str, name: str) -> list[str]:
    lines = [line.strip() for line in (_read_text(folder, name) or "").splitlines() if line.strip()]
    if not lines:
        raise UserError(f"{storage.join(folder, name)!r} is missing or empty; zero-shot classification needs it")
    return lines
