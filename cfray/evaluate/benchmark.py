"""What a benchmark is: data read once for a model's preprocessing, measured for any weights of that architecture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from cfray.clip.model import ClipModel
from cfray.config import EvaluateConfig


@dataclass
class Measurement:
    """What one benchmark found for one model.

    ``fairness`` is {gallery: {attribute: fairness summary}}, as ``cfray.metrics.fairness_summary`` gives it;
    ``accuracy`` is {metric: fraction}.
    """

    fairness: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    accuracy: dict[str, float] = field(default_factory=dict)


class Benchmark(Protocol):
    """Built once per worker; ``measure`` is called once per alpha with new weights in the same ``clip``."""

    def __init__(self, config: EvaluateConfig, clip: ClipModel): ...

    def measure(self, clip: ClipModel) -> Measurement: ...
