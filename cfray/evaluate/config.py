"""The configuration of ``jobs/evaluate.py``; it stands above the benchmarks, whose configurations it holds."""

from __future__ import annotations

from pydantic import Field

from cfray import storage
from cfray.config import Config
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.registry import BenchmarkConfig


class EvaluateConfig(Config):
    """``jobs/evaluate.py``: fairness and accuracy of (1 - alpha) * ``base`` + alpha * ``tuned`` for each alpha.

    ``benchmarks``: each has a ``kind`` and what that kind needs; the first that measures fairness decides the recommended
    alpha. ``cache``: place of the embeddings, None for a folder in ``output``; give one place to several runs and they share
    what they embed.
    """

    output: str
    base: str
    tuned: str
    alphas: list[float] = [round(0.1 * i, 1) for i in range(11)]
    benchmarks: list[BenchmarkConfig] = Field(min_length=1)
    bootstrap: int = Field(200, ge=10)
    floor_permutations: int = Field(50, ge=10)
    max_accuracy_lost: float = Field(0.01, ge=0, description="of every accuracy, at the recommended alpha; a fraction")
    cache: str | None = None
    batch_size: int = Field(64, ge=1, description="images or texts that go through the model at once")
    decode_threads: int = Field(4, ge=1, description="per worker")
    workers: int = Field(1, ge=1)
    cpus_per_worker: float = Field(1, gt=0)
    gpus_per_worker: float = Field(0, ge=0)
    seed: int = 0

    @property
    def settings(self) -> Settings:
        return Settings(
            cache=self.cache or storage.join(self.output, "embeddings"), seed=self.seed, bootstrap=self.bootstrap,
            floor_permutations=self.floor_permutations, batch_size=self.batch_size, decode_threads=self.decode_threads,
        )  # fmt: skip
