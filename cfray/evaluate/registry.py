"""All benchmarks by kind, and the union of their configurations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from cfray.errors import UserError
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


def build_benchmarks(configs: Sequence[BenchmarkConfig], settings: Settings) -> list[Benchmark]:
    """All benchmarks of a run.

    Raises:
        UserError: as ``build_benchmark``, or if two would be called the same in the results.
    """
    benchmarks = [build_benchmark(config, settings) for config in configs]
    names = [benchmark.report.benchmark for benchmark in benchmarks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"two benchmarks are called {twice!r}, and one result would replace the other; give them names")
    return benchmarks
