"""ImageNet-1k and ImageNet-V2, zero-shot, with the class names and 80 templates of open_clip.

Layout, one of:

    images/n01440764/ILSVRC2012_val_00000293.JPEG   one folder per class, named by WordNet id (ImageNet-1k)
    images/0/0a1b2c.jpeg                            one folder per class, named by its number 0..999 (ImageNet-V2)
    images/0.tar, images/1.tar, ...                 WebDataset shards, KEY.jpg with KEY.cls, the number of the class
"""

from __future__ import annotations

from typing import Literal

from open_clip import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES
from timm.data import ImageNetInfo

from cfray.config import Config
from cfray.errors import UserError
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.images import Gallery, Picture, list_images
from cfray.evaluate.reading import ReadReport
from cfray.evaluate.webdataset import list_shards, read_shards, with_class
from cfray.evaluate.zero_shot import ZeroShotBenchmark


class ImageNetConfig(Config):
    """``name`` is what results are called by; ``images`` is the folder of the class folders or of the shards."""

    kind: Literal["imagenet"] = "imagenet"
    name: str = "imagenet"
    images: str


class ImageNet(ZeroShotBenchmark):
    """Top-1 and top-5 accuracy among all 1,000 classes, whichever of them have images. Left out and listed: images in folders
    that are no class, samples with a label that is none."""

    def __init__(self, config: ImageNetConfig, settings: Settings):
        report = ReadReport(config.name)
        if list_shards(config.images):
            report.facts["layout"] = "WebDataset"
            samples = read_shards(config.images, report)
            labels = with_class(samples, len(IMAGENET_CLASSNAMES), report)
            found = [(samples[key].picture, label) for key, label in labels.items()]
        else:
            report.facts["layout"] = "class folders"
            found = _class_folders(config.images, report)
        prompts = [[template(name) for template in OPENAI_IMAGENET_TEMPLATES] for name in IMAGENET_CLASSNAMES]
        gallery = Gallery(config.name, tuple(picture for picture, _ in found))
        super().__init__(gallery, [label for _, label in found], prompts, settings, report)


def class_number(folder: str) -> int | None:
    """The class of a folder's name: its place among the WordNet ids, or the number itself; None for any other name."""
    if folder.isdecimal():
        return int(folder) if int(folder) < len(IMAGENET_CLASSNAMES) else None
    return _NUMBERS.get(folder)


def _class_folders(place: str, report: ReadReport) -> list[tuple[Picture, int]]:
    images = list_images(place)
    numbers = {name: class_number(name.rpartition("/")[0].rpartition("/")[2]) for name in images}
    report.add("images in no class folder", (name for name, number in numbers.items() if number is None))
    found = [(images[name], number) for name, number in numbers.items() if number is not None]
    if not found:
        raise UserError(
            f"folder {place!r} has {len(images)} images, none in a folder named by a WordNet id (n01440764) or number (0..999)"
        )
    return found


_NUMBERS = {wordnet_id: number for number, wordnet_id in enumerate(ImageNetInfo("imagenet1k").label_names())}
