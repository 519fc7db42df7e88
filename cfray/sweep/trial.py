"""One trial: the ordinary training, then the ordinary evaluation of every alpha, each row written as soon as it is known."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import ray.tune
from ray.tune.integration.ray_train import TuneReportCallback

from cfray.clip.model import load_clip
from cfray.errors import UserError
from cfray.evaluate.benchmark import Benchmark
from cfray.evaluate.config import EvaluateConfig
from cfray.evaluate.registry import build_benchmarks
from cfray.evaluate.suite import measure_alphas, measure_point
from cfray.sweep.config import SweepConfig, trial_name
from cfray.sweep.objectives import score, summarise_trial
from cfray.sweep.searchers import PARAMETERS
from cfray.sweep.store import FAILED, MEASURED, Store
from cfray.train.config import TrainConfig
from cfray.train.job import train

# In the last report of a trial, whatever became of it: one that Tune ended early has none.
ENDED = "ended"
Tell = Callable[[dict[str, float]], None]


def trainable(suggestion: dict[str, Any], config: SweepConfig) -> None:
    """What Ray Tune runs. The actor is used again by later trials, with everything that is cached in its process."""
    os.chdir(os.environ["TUNE_ORIG_WORKING_DIR"])  # Tune goes into a folder of the trial; places are relative to the job's
    run_trial(config, suggestion[PARAMETERS], ray.tune.report)


def run_trial(config: SweepConfig, parameters: dict[str, Any], tell: Tell) -> None:
    """Train, measure the alphas that have no row yet, and tell Tune the result.

    What goes wrong in it is the trial's result: a row with the reason, not an error of the sweep.
    """
    training = config.training(parameters)
    name, store = trial_name(training), Store(config.output)
    try:
        last = _train_and_measure(config, training, name, parameters, tell)
    except Exception as error:
        store.write_end(name, parameters, FAILED, _reason(error))
        print(f"[sweep] trial {name} failed: {_reason(error)}", flush=True)
        last = {} if config.asha is None else {config.asha.metric: -1e9 if config.asha.mode == "max" else 1e9}
    tell(last | {"step": training.steps + 1, ENDED: 1})


def measure_chosen(config: SweepConfig, name: str, alpha: float) -> dict[str, Any]:
    """The points of alpha 0 and of a chosen alpha on the benchmarks of ``report``."""
    evaluating = config.reporting(name, sorted({0.0, alpha}))
    points = list(measure_alphas(evaluating, _benchmarks(evaluating), evaluating.alphas, []))
    return {"base": points[0], "chosen": next(point for point in points if point["alpha"] == alpha)}


def _train_and_measure(
    config: SweepConfig, training: TrainConfig, name: str, parameters: dict[str, Any], tell: Tell
) -> dict[str, float]:
    store, evaluating = Store(config.output), config.evaluating(name)
    benchmarks = _benchmarks(evaluating)
    callbacks, watch = [], None
    if config.asha is not None and training.workers:
        callbacks = [TuneReportCallback()]
    elif config.asha is not None:
        watch = _rung_reporter(config, evaluating, benchmarks, tell)
    record = train(training, watch, callbacks)
    train_seconds = sum(record["seconds"].values())
    rows = store.rows()
    known = rows[(rows["trial"] == name) & (rows["status"] == MEASURED)].set_index("alpha")
    base = store.base()
    if base is None:
        (base,) = measure_alphas(evaluating, benchmarks, [0.0], [])
        store.write_base(base)
    scores = {float(alpha): score(point, base, config.constraint) for alpha, point in known["point"].items()}
    if 0.0 not in scores:
        scores[0.0] = score(base, base, config.constraint)
        store.write_point(name, parameters, base, scores[0.0], train_seconds, 0.0)
    missing = [alpha for alpha in evaluating.alphas if alpha not in scores]
    started = time.monotonic()
    for point in measure_alphas(evaluating, benchmarks, missing, []) if missing else ():
        scores[point["alpha"]] = score(point, base, config.constraint)
        seconds, started = time.monotonic() - started, time.monotonic()
        store.write_point(name, parameters, point, scores[point["alpha"]], train_seconds, seconds)
    print(f"[sweep] trial {name}: {len(scores)} alphas", flush=True)
    last = {key: value for key, value in record["result"]["curve"][-1].items() if isinstance(value, (int, float))}
    return last | summarise_trial([scores[alpha] for alpha in sorted(scores)], config.constraint)


def _rung_reporter(config: SweepConfig, evaluating: EvaluateConfig, benchmarks: tuple[Benchmark, ...], tell: Tell):
    """What training calls with every row of its curve: tells Tune the row, and ABLE where that decides who goes on."""

    def watch(row: dict[str, float], folder: Path) -> None:
        told = dict(row)
        if config.asha.metric == "able":
            point = measure_point(load_clip(str(folder)), 1.0, benchmarks, evaluating.able_accuracy)
            told["able"] = score(point, point, config.constraint)["able"]
        if config.asha.metric in told:  # a row of steps without a finite gradient has no means
            tell(told)

    return watch


def _benchmarks(evaluating: EvaluateConfig) -> tuple[Benchmark, ...]:
    """The benchmarks of a trial, those of an earlier one of this process if it had the same."""
    return _built(evaluating.model_copy(update={"output": "", "tuned": ""}).model_dump_json())


@cache
def _built(evaluating: str) -> tuple[Benchmark, ...]:
    config = EvaluateConfig.model_validate_json(evaluating)
    return tuple(build_benchmarks(config.benchmarks, config.settings))


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return lines[0] if isinstance(error, UserError) else f"{type(error).__name__}: {lines[0]}"
