"""Runs benchmarks over many alpha on a Ray cluster and recommends one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import ray
import torch
from ray.util import ActorPool

from cfray import storage
from cfray.clip.model import ClipModel, save_clip
from cfray.clip.pair import load_pair
from cfray.clip.release import evaluated_card
from cfray.cluster import plain_errors, require_workers
from cfray.errors import UserError
from cfray.evaluate.benchmark import Benchmark
from cfray.evaluate.cluster_pass import embed_on_cluster
from cfray.evaluate.config import EvaluateConfig
from cfray.evaluate.models import each_model
from cfray.evaluate.one_pass import embed_in_one_pass
from cfray.evaluate.registry import build_benchmarks
from cfray.metrics import able
from cfray.progress import Progress, shown
from cfray.runs import Record, finished_record

CHECKPOINT = "recommended"


class Evaluator:
    """Holds both models and the benchmarks' data; measures one alpha at a time."""

    def __init__(self, config: EvaluateConfig, benchmarks: Sequence[Benchmark] | None = None):
        self._device = torch.device("cuda" if config.gpus_per_worker else "cpu")
        if not config.gpus_per_worker:
            torch.set_num_threads(max(1, int(config.cpus_per_worker)))
        self._pair = load_pair(config.base, config.tuned)
        self._clip = self._pair.clip
        self._able_accuracy = config.able_accuracy
        self._benchmarks = benchmarks or build_benchmarks(config.benchmarks, config.settings)
        self._clip.model.to(self._device)

    def reports(self) -> list[dict[str, Any]]:
        """What every benchmark read and what it left out."""
        return [benchmark.report.to_dict() for benchmark in self._benchmarks]

    def measure(self, alpha: float) -> dict[str, Any]:
        """Fairness and accuracy at ``alpha``."""
        self._clip.model.load_state_dict(self._pair.at(alpha))
        return measure_point(self._clip, alpha, self._benchmarks, self._able_accuracy)


def measure_point(clip: ClipModel, alpha: float, benchmarks: Sequence[Benchmark], able_accuracy: str) -> dict[str, Any]:
    """What the benchmarks find for the weights that ``clip`` has now, called ``alpha``."""
    point: dict[str, Any] = {"alpha": alpha, "fairness": {}, "accuracy": {}}
    for benchmark in benchmarks:
        found = benchmark.measure(clip)
        point["fairness"] |= found.fairness
        point["accuracy"] |= found.accuracy
    return point | able_scores(point, able_accuracy)


def able_scores(point: dict[str, Any], accuracy: str) -> dict[str, Any]:
    """``{"able": {gallery: {attribute: {"able@K": score}}}}`` of MaxSkew@K (uniform); empty without ``accuracy``."""
    if accuracy not in point["accuracy"]:
        return {}
    return {
        "able": {
            gallery: {
                attribute: {
                    f"able@{key.partition('@')[2]}": able(point["accuracy"][accuracy], row["uniform"]["value"])
                    for key, row in summary.items()
                    if key.startswith("maxskew@")
                }
                for attribute, summary in attributes.items()
            }
            for gallery, attributes in point["fairness"].items()
        }
    }


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Measure every alpha, recommend one, export its checkpoint and return the run's record.

    Alphas that an interrupted run has measured are not measured again. The record's result has ``alphas``,
    ``recommended_alpha`` and ``checkpoint``; ``read.json`` beside it lists what the benchmarks read and left out.

    Raises:
        UserError: for a configuration that cannot run here, before any model is measured, and for data that do not fit.
    """
    done = finished_record(config.output, config)
    if done is not None:
        return done
    benchmarks = preflight(config)
    record = Record(config.output, "evaluate", config)
    record.start()
    with record.timed("evaluate"):
        points = _measure_all(config, benchmarks)
    alpha = recommend(points, config.max_accuracy_lost)
    place = storage.join(config.output, CHECKPOINT)
    pair = load_pair(config.base, config.tuned)
    result = {"alphas": points, "recommended_alpha": alpha, "checkpoint": place}
    save_clip(pair.clip, config.base, pair.at(alpha), place, files=evaluated_card(config.tuned, {"result": result}))
    record.finish(**result)
    return record.data


def preflight(config: EvaluateConfig) -> list[Benchmark]:
    """Refuse what cannot work before anything is written; returns the benchmarks, which have read their labels.

    Raises:
        UserError: for an alpha outside [0, 1], no alpha 0 to compare with, models that are missing or cannot be blended, an
            output that cannot be written, workers that do not fit the cluster, or a benchmark's data that do not fit.
    """
    outside = [alpha for alpha in config.alphas if not 0 <= alpha <= 1]
    if outside or 0 not in config.alphas:
        raise UserError(f"alphas={config.alphas} must lie in [0, 1] and hold 0, the model that the others are compared with")
    load_pair(config.base, config.tuned)
    benchmarks = build_benchmarks(config.benchmarks, config.settings)
    storage.require_writable(config.output)
    require_workers(config.workers, config.cpus_per_worker, config.gpus_per_worker)
    return benchmarks


def _measure_all(config: EvaluateConfig, benchmarks: list[Benchmark]) -> list[dict[str, Any]]:
    files = {alpha: storage.join(config.output, "alphas", f"{alpha:.4f}.json") for alpha in config.alphas}
    points = {alpha: json.loads(storage.read_bytes(file)) for alpha, file in files.items() if storage.exists(file)}
    open_alphas = [alpha for alpha in config.alphas if alpha not in points]
    if open_alphas:
        progress = Progress("evaluate", len(config.alphas), finished=len(points), unit="alphas")
        with shown(progress.line, progress.publish):
            for point in measure_alphas(config, benchmarks, open_alphas, reports := []):
                points[point["alpha"]] = point
                storage.write_bytes(files[point["alpha"]], json.dumps(point).encode())
                progress.finish(1)
                print(progress.line(), flush=True)
        storage.write_bytes(storage.join(config.output, "read.json"), (json.dumps(reports, indent=2) + "\n").encode())
    return [points[alpha] for alpha in sorted(points)]


def measure_alphas(
    config: EvaluateConfig, benchmarks: Sequence[Benchmark], alphas: Sequence[float], reports: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Measure alphas on ``config.workers`` actors, or here with the ``benchmarks`` given; each point as soon as it is there.

    ``reports`` is filled with what the benchmarks read, once all points are there: only then it is known which images cannot
    be read.
    """
    models = {name: model for name, model in config.models.items() if model.alpha in alphas}
    galleries = [gallery for benchmark in benchmarks for gallery in benchmark.galleries]
    if config.workers == 0:
        device = torch.device("cuda" if config.gpus_per_worker else "cpu")
        parts = [part for gallery in galleries for part in gallery.parts()]
        if parts:
            embed_in_one_pass([model for _, model in each_model(models, device)], parts, config.settings)
        evaluator = Evaluator(config, benchmarks)
        yield from map(evaluator.measure, alphas)
        reports.extend(evaluator.reports())
        return
    embed_on_cluster(models, galleries, config)
    # Without a strategy of its own an actor that a trial of Tune starts would have to fit what the trial itself asked for.
    options = {"num_cpus": config.cpus_per_worker, "num_gpus": config.gpus_per_worker, "scheduling_strategy": "DEFAULT"}
    actor = ray.remote(**options)(Evaluator)
    evaluators = [actor.remote(config) for _ in range(min(config.workers, len(alphas)))]
    with plain_errors():
        yield from ActorPool(evaluators).map_unordered(lambda one, alpha: one.measure.remote(alpha), alphas)
    reports.extend(ray.get(evaluators[0].reports.remote()))


def recommend(points: list[dict[str, Any]], max_accuracy_lost: float) -> float:
    """The alpha of least skew among those that lose little accuracy.

    Skew is MaxSkew@k (uniform) over the first gallery, mean over its attributes. An alpha qualifies when no accuracy
    but ``recall@5_appearance`` is lower than at alpha 0 by more than ``max_accuracy_lost``; that one measures what the
    method removes, and it is reported beside the others. Alpha 0 always qualifies.

    Raises:
        UserError: if no benchmark measured fairness.
    """
    if not points[0]["fairness"]:
        raise UserError("no benchmark measures fairness, so no alpha can be recommended; add one, such as fairface or world")
    base = next(point for point in points if point["alpha"] == 0)

    def lost(point: dict[str, Any]) -> float:
        counted = [key for key in base["accuracy"] if key != "recall@5_appearance"]
        return max((base["accuracy"][key] - point["accuracy"][key] for key in counted), default=0.0)

    def skew(point: dict[str, Any]) -> float:
        gallery = next(iter(point["fairness"].values()))
        values = [
            row["uniform"]["value"]
            for summary in gallery.values()
            for key, row in summary.items()
            if key.startswith("maxskew@")
        ]
        return sum(values) / len(values)

    # Rounded, so that exactly one point lost still qualifies in floating point.
    return min((point for point in points if round(lost(point), 9) <= max_accuracy_lost), key=skew)["alpha"]
