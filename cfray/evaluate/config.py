"""The configuration of ``jobs/evaluate.py``; it stands above the benchmarks, whose configurations it holds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from cfray import storage
from cfray.config import Config
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.registry import BenchmarkConfig


class MeasuringConfig(Config):
    """What every evaluation has.

    ``cache``: place of the embeddings, None for a folder in ``output``; give one place to several runs and they share what
    they embed. ``able_accuracy``: the accuracy that ABLE is made of; where it is not measured there is no ABLE.
    """

    output: str
    benchmarks: list[BenchmarkConfig] = Field(min_length=1)
    bootstrap: int = Field(200, ge=10)
    floor_permutations: int = Field(50, ge=10)
    able_accuracy: str = "zero_shot_imagenet"
    cache: str | None = None
    batch_size: int = Field(64, ge=1, description="images or texts that go through the model at once")
    decode_threads: int = Field(4, ge=1, description="per worker")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="of the image tower; bf16 is autocast to bfloat16")
    cpus_per_worker: float = Field(1, gt=0)
    gpus_per_worker: float = Field(0, ge=0)
    workers: int = Field(1, ge=1, description="actors that embed images at once, and in evaluate those that measure alphas")
    seed: int = 0

    def _settings(self, base: str) -> Settings:
        return Settings(
            cache=self.cache or storage.join(self.output, "embeddings"), base=base, seed=self.seed,
            bootstrap=self.bootstrap, floor_permutations=self.floor_permutations, batch_size=self.batch_size,
            decode_threads=self.decode_threads, precision=self.precision,
        )  # fmt: skip


class EvaluateConfig(MeasuringConfig):
    """``jobs/evaluate.py``: fairness and accuracy of (1 - alpha) * ``base`` + alpha * ``tuned`` for each alpha.

    Where ``tuned`` is a debiased model, alpha is the strength of its debiaser and ``base`` the CLIP it was fitted on.

    Of the ``benchmarks`` the first that measures fairness decides the recommended alpha.
    """

    base: str
    tuned: str
    alphas: list[float] = [round(0.1 * i, 1) for i in range(11)]
    workers: int = Field(1, ge=0, description="actors that embed and measure at once; 0: the process that calls")
    max_accuracy_lost: float = Field(0.01, ge=0, description="of every accuracy, at the recommended alpha; a fraction")

    @property
    def models(self) -> dict[str, ComparedModel]:
        """The models that are measured, by name."""
        return {f"alpha {alpha:g}": ComparedModel(model=self.base, tuned=self.tuned, alpha=alpha) for alpha in self.alphas}

    @property
    def settings(self) -> Settings:
        return self._settings(self.base)


class ComparedModel(Config):
    """A model as ``load_clip`` names it, or the blend of it and ``tuned`` at ``alpha``.

    ``debiaser``: a debiased model whose debiaser goes behind this one; where it was fitted on another model,
    ``other_weights`` says that this is meant. ``strength``: of the debiaser, in place of the one it was saved with.
    """

    model: str
    tuned: str | None = None
    alpha: float | None = Field(None, ge=0, le=1)
    debiaser: str | None = None
    strength: float | None = Field(None, ge=0, le=1)
    other_weights: bool = False

    @model_validator(mode="after")
    def _blend_is_whole(self) -> ComparedModel:
        if (self.tuned is None) != (self.alpha is None):
            raise ValueError("a blend needs both tuned and alpha, another model neither")
        if self.tuned is not None and self.strength is not None and self.debiaser is None:
            raise ValueError("a blend has no strength; name its debiaser")
        return self


class CompareConfig(MeasuringConfig):
    """``jobs/evaluate.py compare``: several ``models`` by name, each against the ``reference`` (the first if left out).

    ``sheets``: concepts whose first ``sheet_images`` results of every model are shown on a page of their own. That page holds
    pictures of the benchmarks: it is for those who may see them.
    """

    models: dict[str, ComparedModel] = Field(min_length=2)
    reference: str | None = None
    sheets: list[str] = []
    sheet_images: int = Field(12, ge=1)

    @property
    def settings(self) -> Settings:
        return self._settings(self.models[self.reference or next(iter(self.models))].model)

    @model_validator(mode="after")
    def _reference_is_a_model(self) -> CompareConfig:
        if self.reference is not None and self.reference not in self.models:
            raise ValueError(f"reference={self.reference!r} is none of the models: {', '.join(self.models)}")
        return self
