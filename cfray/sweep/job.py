"""Runs a sweep with Ray Tune and concludes it: the front, the chosen model, what it is worth on other pictures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from cfray import storage
from cfray.cluster import plain_errors, require_room
from cfray.errors import UserError
from cfray.evaluate.registry import build_benchmarks
from cfray.runs import Record, finished_record
from cfray.sweep.config import Dimension, SweepConfig
from cfray.sweep.findings import conclude, overhead, trial_results
from cfray.sweep.objectives import score
from cfray.sweep.page import require_plotly, write_page
from cfray.sweep.searchers import NAME, PARAMETERS, build_searcher, planned_points, require_optuna
from cfray.sweep.store import FAILED, STOPPED, Store, ended_trials
from cfray.sweep.trial import ENDED, measure_chosen, trainable
from cfray.train import job as training_job
from cfray.train.config import TrainConfig


def sweep(config: SweepConfig) -> dict[str, Any]:
    """Run the trials that are missing, choose a model and return the run's record; ``findings.conclude`` says what is in it.

    Rows are in ``store.Store(config.output)`` as soon as they are measured. A sweep whose time was up is left unfinished:
    another run goes on with it.

    Raises:
        UserError: for a configuration that cannot run here, before any trial starts.
    """
    done = finished_record(config.output, config)
    if done is not None:
        return done
    in_flight = preflight(config)
    record, store = Record(config.output, "sweep", config), Store(config.output)
    record.start()
    before, started = store.rows(), time.monotonic()
    with record.timed("trials"):
        complete = _run_trials(config, store, before, in_flight)
    rows = store.rows()
    result = conclude(config, rows) | {"overhead": overhead(before, rows, time.monotonic() - started, in_flight)}
    if config.report and result["chosen"] is not None:
        with record.timed("report"), plain_errors():
            reported = _measure_chosen(config, result["chosen"])
            scores = {name: score(point, reported["base"], config.constraint) for name, point in reported.items()}
            result["chosen"]["reported"] = reported | {"scores": scores}
    result["page"] = write_page(config, rows, result, running=not complete)
    if complete:
        record.finish(**result)
    else:
        print("[sweep] ended before all trials were done; the same command goes on", flush=True)
    return record.data | {"result": result}


def preflight(config: SweepConfig) -> int:
    """Refuse what cannot work before anything is written; returns how many trials run at once.

    Raises:
        UserError: for a value of the space that training does not take, what ``jobs/train.py`` and ``jobs/evaluate.py`` would
            refuse, an ABLE that nothing measures, or a trial that does not fit the cluster.
    """
    require_optuna()
    require_plotly()
    examples = [config.training(point) for point in corners(config.space)]
    if config.search.kind == "grid":
        planned_points(config)
    evaluating = config.evaluating("")
    if 0 not in evaluating.alphas:
        raise UserError(f"evaluate.alphas={evaluating.alphas} must hold 0, the model that the others are compared with")
    build_benchmarks(evaluating.benchmarks, evaluating.settings)
    if config.report:
        build_benchmarks((reporting := config.reporting("", [0.0])).benchmarks, reporting.settings)
    if config.asha is not None and config.asha.metric == "able" and any(example.workers for example in examples):
        raise UserError("asha.metric=able needs training inside the trial; give train.workers=0 or asha.metric=loss")
    # Where nodes are to be waited for, they are those of one trial; what the autoscaler adds later is not counted.
    for job in (*examples, evaluating):
        require_room([{"CPU": job.cpus_per_worker, "GPU": job.gpus_per_worker}] * max(1, job.workers), _no_room)
    in_flight = trials_in_flight(config, ray.cluster_resources(), examples)
    training_job.preflight(examples[0].model_copy(update={"output": storage.join(config.output, "trials")}))
    return in_flight


def trials_in_flight(config: SweepConfig, resources: Mapping[str, float], examples: Sequence[TrainConfig]) -> int:
    """How many trials the cluster's ``resources`` have room for, at most ``max_concurrent``.

    A trial holds what its training or its evaluation needs, whichever is more; so do the largest of the ``examples``.

    Raises:
        UserError: if there is no room for one.
    """
    need = _need(config, examples)
    fits = {name: int(resources.get(name, 0) // amount) for name, amount in need.items() if amount}
    for name, count in fits.items():
        if count == 0:
            raise UserError(_no_room(name, need[name], resources.get(name, 0)))
    return min(*fits.values(), config.max_concurrent or config.trials, config.trials)


def _no_room(resource: str, need: float, have: float) -> str:
    return (
        f"a trial needs {need:g} {resource}s, the cluster has {have:g}, so none can run; lower train.workers, "
        "evaluate.workers or what each of them takes"
    )


def _need(config: SweepConfig, examples: Sequence[TrainConfig]) -> dict[str, float]:
    jobs = [*examples, config.evaluating("")]
    return {
        "CPU": max(max(1, job.workers) * job.cpus_per_worker for job in jobs),
        "GPU": max(max(1, job.workers) * job.gpus_per_worker for job in jobs),
    }


def _run_trials(config: SweepConfig, store: Store, before: pd.DataFrame, in_flight: int) -> bool:
    """Run what is missing; returns whether all trials have ended."""
    alphas = config.evaluating("").alphas
    ended = ended_trials(before, alphas)
    begun = {name: parameters for name, parameters in store.begun().items() if name not in ended}
    results = {name: result for name, result in trial_results(config, before).items() if name in ended}
    searcher, count = build_searcher(config, begun, results)
    print(f"[sweep] {len(ended)} trials have ended, {count} to run, {in_flight} at once", flush=True)
    if count == 0:
        return True
    filesystem, folder = storage.resolve(config.output)
    examples = [config.training(point) for point in corners(config.space)]
    asha = config.asha
    scheduler = None if asha is None else ASHAScheduler(
        time_attr="step", metric=asha.metric, mode=asha.mode, grace_period=asha.grace, reduction_factor=asha.reduction,
        # Beyond the last step of training, after which alphas are still to be measured.
        max_t=max(example.steps for example in examples) + 1,
    )  # fmt: skip
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(trainable, config=config), _resources(config, examples)),
        tune_config=tune.TuneConfig(
            search_alg=searcher, scheduler=scheduler, num_samples=count, max_concurrent_trials=in_flight, reuse_actors=True,
            time_budget_s=None if config.max_hours is None else 3600 * config.max_hours,
            trial_name_creator=_name_of, trial_dirname_creator=_name_of,
        ),
        run_config=tune.RunConfig(
            name="tune", storage_path=folder, storage_filesystem=filesystem, callbacks=[_Keeper(config, store)], verbose=0,
            failure_config=tune.FailureConfig(max_failures=config.max_failures),
        ),
    )  # fmt: skip
    tuner.fit()
    return searcher.exhausted or len(ended_trials(store.rows(), alphas)) - len(ended) >= count


def _resources(config: SweepConfig, examples: Sequence[TrainConfig]) -> dict[str, float]:
    """What Tune sets aside for a trial. One with workers of its own works through them and takes a byte of memory itself:
    Tune knows no trial that takes nothing."""
    if any(example.workers for example in examples) or config.evaluating("").workers:
        return {"cpu": 0, "memory": 1}
    need = _need(config, examples)
    return {"cpu": need["CPU"], "gpu": need["GPU"]}


class _Keeper(tune.Callback):
    """Gives trials that ended without rows of their own one, and draws the page anew after every trial."""

    def __init__(self, config: SweepConfig, store: Store):
        self._config, self._store = config, store

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self._store.begin(trial.config[NAME], trial.config[PARAMETERS])

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        last = trial.last_result
        if ENDED not in last and last.get("done"):
            metric = self._config.asha.metric
            reason = f"by ASHA at step {last['step']} with {metric} {last[metric]:.4g}"
            self._store.write_end(trial.config[NAME], trial.config[PARAMETERS], STOPPED, reason)
        self._draw()

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        reason = str(trial.get_error() or "its process died").strip().splitlines()[-1]
        self._store.write_end(trial.config[NAME], trial.config[PARAMETERS], FAILED, reason)
        self._draw()

    def _draw(self) -> None:
        rows = self._store.rows()
        write_page(self._config, rows, conclude(self._config, rows), running=True)


def _name_of(trial: Any) -> str:
    return trial.config[NAME]


def _measure_chosen(config: SweepConfig, chosen: Mapping[str, Any]) -> dict[str, Any]:
    evaluating = config.reporting(chosen["trial"], [0.0])
    if evaluating.workers:
        return measure_chosen(config, chosen["trial"], chosen["alpha"])
    task = ray.remote(num_cpus=evaluating.cpus_per_worker, num_gpus=evaluating.gpus_per_worker)(measure_chosen)
    return ray.get(task.remote(config, chosen["trial"], chosen["alpha"]))


def corners(space: Mapping[str, Dimension]) -> list[dict[str, Any]]:
    """Points that together hold every choice and both ends of every range."""
    values = {key: dimension.choice or [dimension.low, dimension.high] for key, dimension in space.items()}
    longest = max(map(len, values.values()))
    return [{key: of_key[min(i, len(of_key) - 1)] for key, of_key in values.items()} for i in range(longest)]
