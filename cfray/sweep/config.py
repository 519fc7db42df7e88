"""The typed configuration of ``jobs/sweep.py``: what is searched, how, for how long, and by which rule a model is chosen."""

from __future__ import annotations

from copy import deepcopy
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from cfray import storage
from cfray.config import Config, build_config, hash_of, set_dotted
from cfray.errors import UserError
from cfray.evaluate.config import EvaluateConfig
from cfray.train.config import TrainConfig

OBJECTIVES = {"maxskew_above_floor": "min", "accuracy_lost": "min", "ndkl": "min", "able": "max", "hypervolume": "max"}
Objective = Literal["maxskew_above_floor", "accuracy_lost", "ndkl", "able", "hypervolume"]


class Dimension(Config):
    """The values of one key of ``train``: one of ``choice``, or anything from ``low`` to ``high``.

    A range of two whole numbers has whole numbers only; with ``log`` its logarithm is uniform.
    """

    choice: list[Any] | None = Field(None, min_length=1)
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Dimension:
        if (self.choice is None) == (self.low is None) or (self.low is None) != (self.high is None):
            raise ValueError("give either choice, or low and high")
        if self.low is not None and not self.low < self.high:
            raise ValueError(f"low={self.low} is not below high={self.high}")
        if self.log and (self.low is None or self.low <= 0):
            raise ValueError("log needs a low above 0")
        return self

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)


class GridSearch(Config):
    """Every combination of the choices, the last key changing fastest; ``trials`` is the most of them."""

    kind: Literal["grid"] = "grid"


class RandomSearch(Config):
    """Independent draws."""

    kind: Literal["random"] = "random"
    seed: int = 0


class OptunaSearch(Config):
    """Optuna's multi-objective TPE, after ``startup`` random draws.

    An objective is the value at the alpha that the ``constraint`` chooses among those of the trial; ``hypervolume`` is of
    all of the trial's alphas.
    """

    kind: Literal["optuna"] = "optuna"
    objectives: list[Objective] = Field(["maxskew_above_floor", "accuracy_lost", "ndkl"], min_length=1)
    startup: int = Field(8, ge=1)
    seed: int = 0


class AshaConfig(Config):
    """Ends trials that do badly: at ``grace`` steps, and again each time the steps have grown ``reduction``-fold, the best
    1/``reduction`` of the trials go on.

    ``metric`` is ``able``, measured at alpha = 1, or a column of the training curve such as ``loss``. A trial with workers of
    its own knows its curve only.
    """

    metric: str = "able"
    mode: Literal["min", "max"] = "max"
    grace: int = Field(10, ge=1, description="steps")
    reduction: float = Field(3, gt=1)


class ConstraintConfig(Config):
    """At most ``max_lost`` (a fraction) of ``accuracy``; without a name, of every accuracy but ``recall@5_appearance``."""

    accuracy: str | None = None
    max_lost: float = Field(0.005, ge=0)


class SweepConfig(Config):
    """``jobs/sweep.py``: trials of ``train`` and ``evaluate``, of which one is chosen.

    ``train`` and ``evaluate`` are configurations of those jobs without their outputs. ``space`` gives ranges of dotted keys of
    ``train``. The benchmarks of ``evaluate`` are measured at every alpha of every trial and decide the choice; those of
    ``report``, which hold other pictures, are measured for the chosen model only, and are what one may publish.
    """

    output: str
    train: dict[str, Any]
    evaluate: dict[str, Any]
    report: list[dict[str, Any]] = []
    space: dict[str, Dimension] = Field(min_length=1)
    search: Annotated[GridSearch | RandomSearch | OptunaSearch, Field(discriminator="kind")]
    asha: AshaConfig | None = None
    trials: int = Field(ge=1, description="in all, those of earlier runs among them")
    max_hours: float | None = Field(None, gt=0, description="of this run; trials in flight are stopped and may go on later")
    max_concurrent: int | None = Field(None, ge=1, description="trials in flight; as many as fit if left out")
    max_failures: int = Field(1, ge=0, description="how often a trial whose process died begins anew")
    constraint: ConstraintConfig = ConstraintConfig()

    def training(self, parameters: dict[str, Any]) -> TrainConfig:
        """The configuration that a trial trains; its output follows from its name.

        Raises:
            UserError: for a key or a value that training does not know.
        """
        data = deepcopy(self.train)
        for key, value in parameters.items():
            set_dotted(data, key, value)
        if "output" in data:
            raise UserError("train.output of a sweep follows from its output; leave it out")
        config = build_config(TrainConfig, data | {"output": ""})
        return config.model_copy(update={"output": storage.join(self.place(trial_name(config)), "train")})

    def evaluating(self, name: str) -> EvaluateConfig:
        """The configuration that measures the trial called ``name``."""
        return self._evaluation(name, self.evaluate)

    def reporting(self, name: str, alphas: list[float]) -> EvaluateConfig:
        """The configuration that measures a chosen model on the benchmarks of ``report``."""
        return self._evaluation(name, self.evaluate | {"benchmarks": self.report, "alphas": alphas})

    def place(self, name: str) -> str:
        """The folder of a trial."""
        return storage.join(self.output, "trials", name)

    def _evaluation(self, name: str, data: dict[str, Any]) -> EvaluateConfig:
        places = {
            "output": storage.join(self.place(name), "evaluate"),
            "tuned": storage.join(self.place(name), "train", "checkpoint"),
            "base": self.train.get("model", ""),
            "cache": data.get("cache") or storage.join(self.output, "embeddings"),
        }
        return build_config(EvaluateConfig, data | places)


def trial_name(training: TrainConfig) -> str:
    """The name of the trial that trains this: a hash of everything but where its files go."""
    return hash_of(training.model_dump(mode="json", exclude={"output"}))



class ShowConfig(Config):
    """``jobs/sweep.py show``: the place of a sweep."""

    sweep: str


class ExportConfig(Config):
    """``jobs/sweep.py export``: write the blend of ``trial`` of the sweep at ``alpha`` to ``output``."""

    sweep: str
    trial: str
    alpha: float = Field(ge=0, le=1)
    output: str
