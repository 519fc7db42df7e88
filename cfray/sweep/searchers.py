"""Where the parameters of trials come from, as search algorithms of Ray Tune that know what earlier runs have measured."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from ray.tune.search import Searcher

from cfray.errors import UserError
from cfray.sweep.config import OBJECTIVES, Dimension, OptunaSearch, SweepConfig, trial_name

# A space of few choices runs out of new trials; so many draws that bring none mean that it has.
PATIENCE = 200
NAME, PARAMETERS = "trial", "parameters"
Parameters = dict[str, Any]


def build_searcher(
    config: SweepConfig, open_trials: Mapping[str, Parameters], ended: Mapping[str, tuple[Parameters, dict[str, float] | None]]
) -> tuple[Searcher, int]:
    """The search algorithm and how many trials it is asked for.

    Args:
        config: the sweep.
        open_trials: begun but not finished by an earlier run; they come first.
        ended: parameters and result of every trial that needs no more work; None where it failed or was stopped.

    Raises:
        UserError: for a grid over a range, or a package that is missing.
    """
    if isinstance(config.search, OptunaSearch):
        left = max(0, config.trials - len(ended))
        return Studied(config, open_trials, ended), max(left, len(open_trials))
    points = [
        (name, point) for name, point in {**open_trials, **planned_points(config)}.items() if name not in ended
    ]
    points = points[: max(0, config.trials - len(ended))]
    return Listed(points), len(points)


def planned_points(config: SweepConfig) -> dict[str, Parameters]:
    """The distinct points of a grid or of random draws by the names of their trials; the same in every run."""
    draws = _grid(config.space) if config.search.kind == "grid" else _random(config.space, config.search.seed)
    points: dict[str, Parameters] = {}
    idle = 0
    for point in draws:
        before = len(points)
        points.setdefault(trial_name(config.training(point)), point)
        idle = 0 if len(points) > before else idle + 1
        if len(points) == config.trials or idle == PATIENCE:
            break
    return points


class Listed(Searcher):
    """Suggests points of a list one after the other."""

    exhausted = False  # a list ends where its trials do

    def __init__(self, points: Sequence[tuple[str, Parameters]]):
        super().__init__()
        self._points = iter(points)

    def suggest(self, trial_id: str) -> Any:
        point = next(self._points, None)
        return Searcher.FINISHED if point is None else {NAME: point[0], PARAMETERS: point[1]}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """Nothing is learned from a trial."""


class Studied(Searcher):
    """Suggests what an Optuna study asks for. Ray's own ``OptunaSearch`` takes no earlier results of several objectives.

    ``exhausted``: the space has no trial left that was not asked for.
    """

    exhausted = False

    def __init__(
        self, config: SweepConfig, open_trials: Mapping[str, Parameters],
        ended: Mapping[str, tuple[Parameters, dict[str, float] | None]],
    ):  # fmt: skip
        super().__init__()
        self._optuna, self._config, self._objectives = require_optuna(), config, config.search.objectives
        self._distributions = distributions(config.space)
        self._asked: dict[str, Any] = {}
        self._known: dict[str, Any] = {}
        sampler = self._optuna.samplers.TPESampler(
            # Another seed in every run: the draws that a finished run has made are among the trials it left.
            seed=int(np.random.SeedSequence((config.search.seed, len(ended))).generate_state(1)[0]),
            n_startup_trials=config.search.startup,
            constant_liar=True,  # trials in flight count as bad, so that two of them do not try the same
        )
        directions = ["minimize" if OBJECTIVES[name] == "min" else "maximize" for name in self._objectives]
        self._study = self._optuna.create_study(directions=directions, sampler=sampler)
        for name, (parameters, result) in ended.items():
            self._known[name] = _values(result, self._objectives)
            self._study.add_trial(_frozen(config.space, parameters, self._known[name]))
        for parameters in open_trials.values():
            self._study.enqueue_trial(encode(parameters, config.space))

    def suggest(self, trial_id: str) -> Any:
        for _ in range(PATIENCE):
            asked = self._study.ask(self._distributions)
            parameters = decode(asked.params, self._config.space)
            name = trial_name(self._config.training(parameters))
            if name not in self._known:
                self._asked[trial_id], self._known[name] = asked, None
                return {NAME: name, PARAMETERS: parameters}
            # Asked before: the same answer again, or none while that trial is in flight.
            self._tell(asked, self._known[name])
        self.exhausted = True
        return Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        asked, values = self._asked.pop(trial_id), _values(result, self._objectives)
        self._known[trial_name(self._config.training(decode(asked.params, self._config.space)))] = values
        self._tell(asked, values)

    def _tell(self, asked: Any, values: Sequence[float] | None) -> None:
        failed = self._optuna.trial.TrialState.FAIL
        if values is None:
            self._study.tell(asked, state=failed)
        else:
            self._study.tell(asked, list(values))


def distributions(space: Mapping[str, Dimension]) -> dict[str, Any]:
    """The space as Optuna knows it; choices are JSON, since Optuna takes no lists and mappings."""
    known = require_optuna().distributions
    found = {}
    for key, dimension in space.items():
        if dimension.choice is not None:
            found[key] = known.CategoricalDistribution([json.dumps(value) for value in dimension.choice])
        else:
            kind = known.IntDistribution if dimension.whole else known.FloatDistribution
            found[key] = kind(dimension.low, dimension.high, log=dimension.log)
    return found


def encode(parameters: Parameters, space: Mapping[str, Dimension]) -> dict[str, Any]:
    """Parameters as Optuna takes them; ``decode`` is the way back."""
    return {key: value if space[key].choice is None else json.dumps(value) for key, value in parameters.items()}


def decode(parameters: Mapping[str, Any], space: Mapping[str, Dimension]) -> Parameters:
    """Parameters as training takes them."""
    return {key: value if space[key].choice is None else json.loads(value) for key, value in parameters.items()}


def study_of(space: Mapping[str, Dimension], trials: Iterable[tuple[Parameters, float]]) -> Any:
    """An Optuna study of finished trials with one value each, for what Optuna computes from one."""
    study = require_optuna().create_study()
    for parameters, value in trials:
        study.add_trial(_frozen(space, parameters, [value]))
    return study


def require_optuna():
    """Optuna, quiet.

    Raises:
        UserError: if it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise UserError("sweeps need Optuna; pip install 'cfray[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _frozen(space: Mapping[str, Dimension], parameters: Parameters, values: Sequence[float] | None) -> Any:
    trial = require_optuna().trial
    state = trial.TrialState.FAIL if values is None else trial.TrialState.COMPLETE
    return trial.create_trial(
        state=state, values=None if values is None else list(values), params=encode(parameters, space),
        distributions=distributions(space),
    )  # fmt: skip


def _values(result: Mapping[str, Any] | None, objectives: Sequence[str]) -> list[float] | None:
    """The objectives of a result, None if one is missing or no number."""
    values = [float((result or {}).get(name, np.nan)) for name in objectives]
    return values if np.isfinite(values).all() else None


def _grid(space: Mapping[str, Dimension]) -> Iterable[Parameters]:
    ranges = [key for key, dimension in space.items() if dimension.choice is None]
    if ranges:
        raise UserError(f"search.kind=grid needs choices, space.{ranges[0]} is a range; give choice=[...] or another search")
    for values in itertools.product(*(dimension.choice for dimension in space.values())):
        yield dict(zip(space, values, strict=True))


def _random(space: Mapping[str, Dimension], seed: int) -> Iterable[Parameters]:
    rng = np.random.default_rng(seed)
    while True:
        yield {key: _draw(dimension, rng) for key, dimension in space.items()}


def _draw(dimension: Dimension, rng: np.random.Generator) -> Any:
    if dimension.choice is not None:
        return dimension.choice[rng.integers(len(dimension.choice))]
    low, high = dimension.low, dimension.high
    if dimension.whole:
        high += 1  # so that the last whole number is as likely as the others
    value = float(np.exp(rng.uniform(np.log(low), np.log(high))) if dimension.log else rng.uniform(low, high))
    return min(int(value), dimension.high) if dimension.whole else value
