"""All benchmarks by kind, and the union of their configurations."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cfray.evaluate.benchmark import Benchmark, Settings
from cfray.evaluate.captions import Captions, CaptionsConfig
from cfray.evaluate.facet import FACET, FACETConfig
from cfray.evaluate.fairface import FairFace, FairFaceConfig
from cfray.evaluate.imagenet import ImageNet, ImageNetConfig
from cfray.evaluate.karpathy import Karpathy, KarpathyConfig
from cfray.evaluate.labelled import Labelled, LabelledConfig
from cfray.evaluate.pata import PATA, PATAConfig
from cfray.evaluate.utkface import UTKFace, UTKFaceConfig
from cfray.evaluate.visogender import VisoGender, VisoGenderConfig
from cfray.evaluate.webdataset import WebDataset, WebDatasetConfig
from cfray.evaluate.world import WorldBenchmark, WorldConfig

BenchmarkConfig = Annotated[
    WorldConfig | FairFaceConfig | UTKFaceConfig | PATAConfig | VisoGenderConfig | FACETConfig | KarpathyConfig | CaptionsConfig
    | ImageNetConfig | LabelledConfig | WebDatasetConfig,
    Field(discriminator="kind"),
]  # fmt: skip

BENCHMARKS: dict[str, type[Benchmark]] = {
    "world": WorldBenchmark, "fairface": FairFace, "utkface": UTKFace, "pata": PATA, "visogender": VisoGender, "facet": FACET,
    "flickr30k": Karpathy, "coco": Karpathy, "captions": Captions, "imagenet": ImageNet, "labelled": Labelled,
    "webdataset": WebDataset,
}  # fmt: skip


def build_benchmark(config: BenchmarkConfig, settings: Settings) -> Benchmark:
    """The benchmark that a configuration describes.

    Raises:
        UserError: for a place, a file or a value that does not fit.
    """
    return BENCHMARKS[config.kind](config, settings)
