"""What a benchmark is: data described once by a configuration, measured for any weights of any CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from cfray.clip.model import ClipModel
from cfray.config import Config
from cfray.evaluate.images import Gallery, Picture
from cfray.evaluate.reading import ReadReport
from cfray.metrics import RankFairness


@dataclass(frozen=True)
class Settings:
    """What all benchmarks of a run have in common."""

    cache: str
    """Place of the embeddings, a local folder or s3://; it outlives the run."""
    base: str | None = None
    """The model that infers groups where a benchmark names none: the base or the reference of the run."""
    seed: int = 0
    bootstrap: int = 1000
    """Resamples behind each interval."""
    floor_permutations: int = 1000
    """Random rankings behind each floor."""
    batch_size: int = 64
    """Images or texts that go through the model at once."""
    decode_threads: int = 4
    """Threads that read and decode images while the model works."""
    precision: str = "fp32"
    """Of the image tower: "fp32", or "bf16" for autocast to bfloat16."""


@dataclass
class Measurement:
    """What one benchmark found for one model.

    ``fairness`` is {gallery: {attribute: fairness summary}}, as ``cfray.metrics.fairness_summary`` gives it;
    ``accuracy`` is {metric: fraction}. The others are what paired comparisons of two models need: ``rankings`` is {gallery:
    {attribute: results of ``rank_fairness``}}, two targets for every k; ``queries`` is {gallery: concept of every
    query}, for galleries whose queries belong to concepts;
    ``outcomes`` is {metric: (n,) hit or miss of every unit that the accuracy is a mean of}.
    """

    fairness: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    accuracy: dict[str, float] = field(default_factory=dict)
    rankings: dict[str, dict[str, list[RankFairness]]] = field(default_factory=dict, compare=False)
    queries: dict[str, list[str]] = field(default_factory=dict, compare=False)
    outcomes: dict[str, np.ndarray] = field(default_factory=dict, compare=False)

    def add_outcomes(self, metric: str, hits: np.ndarray) -> None:
        """Note an accuracy as the mean of ``hits`` (n,)."""
        self.outcomes[metric] = np.asarray(hits)
        self.accuracy[metric] = float(np.mean(hits))


class RankedPeople(Protocol):
    """A gallery of people that is ranked for concepts; contact sheets show who comes first."""

    report: ReadReport

    def has_concept(self, concept: str) -> bool:
        """Whether any set of prompts has it."""
        ...

    def top_pictures(self, clip: ClipModel, concepts: Sequence[str], count: int) -> dict[str, dict[str, list[Picture]]]:
        """The first ``count`` pictures by {prompt set: {concept: ...}}."""
        ...


class Benchmark(Protocol):
    """Built once per worker, which reads labels and lists images but decodes none, and prints what was read.

    ``galleries`` are the images that ``measure`` will need; ``embed_in_one_pass`` embeds them for many weights at once, and
    each is empty where a benchmark makes its images itself. ``people`` are those of them that are ranked for concepts.
    ``report`` is what was read and what was left out.

    Raises:
        UserError: from the constructor, for a place, a file or a value that does not fit.
    """

    report: ReadReport
    galleries: Sequence[Gallery]
    people: Sequence[RankedPeople]

    def __init__(self, config: Config, settings: Settings): ...

    def measure(self, clip: ClipModel) -> Measurement:
        """Measure the weights that ``clip`` has now."""
        ...
