"""Several models in one table: each against a reference, with paired bootstrap differences."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import ray
import torch
from PIL import Image

from cfray import storage
from cfray.clip.debiased import read_debiaser
from cfray.clip.model import ClipModel, debias_clip, load_clip
from cfray.clip.pair import load_blend
from cfray.cluster import require_workers
from cfray.errors import UserError
from cfray.evaluate.benchmark import Measurement
from cfray.evaluate.compare_tables import as_csv, as_text
from cfray.evaluate.config import CompareConfig, ComparedModel
from cfray.evaluate.embeddings import embed_models_in_one_pass
from cfray.evaluate.images import decode
from cfray.evaluate.people import PeopleBenchmark
from cfray.evaluate.registry import build_benchmark
from cfray.evaluate.suite import able_scores
from cfray.metrics import RankFairness, paired_bootstrap_interval, paired_difference
from cfray.report.compare import render_comparison, render_sheets
from cfray.runs import Record, finished_record

SHEET_HEIGHT = 96
METRICS = {"maxskew": "max_skew", "minskew": "min_skew", "ndkl": "ndkl"}
Sheets = dict[str, dict[str, dict[str, list[tuple[str, bytes]]]]]


class Comparer:
    """Holds the models and the benchmarks' data; measures them all."""

    def __init__(self, config: CompareConfig):
        self._config = config
        if not config.gpus_per_worker:
            torch.set_num_threads(max(1, int(config.cpus_per_worker)))
        device = torch.device("cuda" if config.gpus_per_worker else "cpu")
        self._clips = {name: load_compared(name, model) for name, model in config.models.items()}
        for clip in self._clips.values():
            clip.model.to(device)
        self._benchmarks = [build_benchmark(benchmark, config.settings) for benchmark in config.benchmarks]

    def compare(self) -> dict[str, Any]:
        """The result (see ``compare``), what was read, and the pictures of the sheets."""
        galleries = [gallery for benchmark in self._benchmarks for gallery in benchmark.galleries]
        embed_models_in_one_pass(list(self._clips.values()), galleries, self._config.settings)
        found = {}
        for name, clip in self._clips.items():
            found[name] = Measurement()
            for benchmark in self._benchmarks:
                measured = benchmark.measure(clip)
                for part in vars(measured):
                    getattr(found[name], part).update(getattr(measured, part))
            print(f"[compare] {len(found)}/{len(self._clips)} models", flush=True)
        reference = self._config.reference or next(iter(found))
        result = comparison(found, reference, self._config.able_accuracy, self._config.bootstrap, self._config.seed)
        return {"result": result, "read": [b.report.to_dict() for b in self._benchmarks], "sheets": self._sheets()}

    def _sheets(self) -> Sheets:
        """Name and thumbnail of the first pictures by {"benchmark, prompt set": {concept: {model: ...}}}."""
        sheets: Sheets = {}
        for benchmark in self._benchmarks:
            if self._config.sheets and isinstance(benchmark, PeopleBenchmark):
                for model, clip in self._clips.items():
                    tops = benchmark.top_pictures(clip, self._config.sheets, self._config.sheet_images)
                    for prompts, concepts in tops.items():
                        for concept, pictures in concepts.items():
                            where = sheets.setdefault(f"{benchmark.report.benchmark}, {prompts}", {}).setdefault(concept, {})
                            where[model] = [(p.name, thumbnail(decode(p.read(), p.box))) for p in pictures]
        return sheets


def load_compared(name: str, config: ComparedModel) -> ClipModel:
    """The model that a row of a comparison describes: a CLIP or a blend, with a debiaser or without.

    Raises:
        UserError: if a model is missing, the two of a blend do not fit, or a debiaser was fitted on other weights.
    """
    try:
        if config.debiaser is None and config.tuned is None:
            return load_clip(config.model, strength=config.strength)
        clip = load_clip(config.model) if config.tuned is None else load_blend(config.model, config.tuned, config.alpha)
        if config.debiaser is None:
            return clip
        debiaser, saved = read_debiaser(config.debiaser)
        strength = saved if config.strength is None else config.strength
        return debias_clip(clip, debiaser, strength, other_weights=config.other_weights)
    except UserError as error:
        raise UserError(f"models.{name}: {error}") from None


def compare(config: CompareConfig) -> dict[str, Any]:
    """Measure all models and write the comparison; returns the run's record, whose result is that of ``comparison``.

    Written to the output: ``compare.json``, ``compare.csv``, ``compare.txt``, ``compare.html``, ``read.json`` (what was read
    and left out) and, with ``sheets``, ``sheets.html``.

    Raises:
        UserError: for a configuration that cannot run here, before any model is measured, and for data that do not fit.
    """
    done = finished_record(config.output, config)
    if done is not None:
        return done
    if config.reference is not None and config.reference not in config.models:
        raise UserError(f"reference={config.reference!r} is none of the models: {', '.join(config.models)}")
    require_workers(1, config.cpus_per_worker, config.gpus_per_worker)
    for name, model in config.models.items():
        load_compared(name, model)
    known = [b for b in (build_benchmark(b, config.settings) for b in config.benchmarks) if isinstance(b, PeopleBenchmark)]
    missing = [concept for concept in config.sheets if not any(b.has_concept(concept) for b in known)]
    if missing:
        raise UserError(f"sheets: {missing[0]!r} is a concept of none of the benchmarks' prompts")
    storage.require_writable(config.output)
    record = Record(config.output, "compare", config)
    record.start()
    with record.timed("compare"):
        actor = ray.remote(num_cpus=config.cpus_per_worker, num_gpus=config.gpus_per_worker)(Comparer).remote(config)
        found = ray.get(actor.compare.remote())
    result, sheets = found["result"], found["sheets"]
    files = {
        "compare.json": json.dumps(result, indent=2) + "\n",
        "read.json": json.dumps(found["read"], indent=2) + "\n",
        "compare.csv": as_csv(result),
        "compare.txt": as_text(result),
        "compare.html": render_comparison(result),
    }
    if sheets:
        files["sheets.html"] = render_sheets(sheets)
    for name, content in files.items():
        storage.write_bytes(storage.join(config.output, name), content.encode())
    record.finish(**result)
    return record.data


def comparison(
    found: Mapping[str, Measurement], reference: str, able_accuracy: str, n_bootstrap: int, seed: int
) -> dict[str, Any]:
    """What a comparison says, ready for JSON.

    Returns:
        ``{"schema": 1, "reference", "models": {name: {"fairness", "accuracy", "able"?}}, "differences": {name: {"fairness":
        {gallery: {attribute: {"maxskew@K": {target: {"value", "low", "high"}}}}}, "accuracy": {metric: {...}}}},
        "skew": {gallery: {attribute: {"K": {"groups", "concepts", "models": {name: [[mean skew]]}}}}}}``. A difference is the
        model minus the reference, over the same resamples of queries and images; skew is per concept and group, uniform
        target, mean over the concept's prompts.
    """
    models, differences = {}, {}
    for name, one in found.items():
        point = {"fairness": one.fairness, "accuracy": one.accuracy}
        models[name] = point | able_scores(point, able_accuracy)
        if name != reference:
            differences[name] = _differences(found[reference], one, n_bootstrap, seed)
    return {
        "schema": 1, "reference": reference, "models": models, "differences": differences, "skew": _skew(found, reference),
    }  # fmt: skip


def _differences(reference: Measurement, one: Measurement, n_bootstrap: int, seed: int) -> dict[str, Any]:
    fairness: dict[str, Any] = {}
    for gallery, attributes in reference.rankings.items():
        for attribute, results in attributes.items():
            rows = fairness.setdefault(gallery, {}).setdefault(attribute, {})
            for first, second in zip(results, one.rankings[gallery][attribute], strict=True):
                intervals = paired_difference(first, second)
                for short, metric in METRICS.items():
                    rows.setdefault(f"{short}@{first.k}", {})[first.target] = intervals[metric].to_dict()
    accuracy = {
        metric: paired_bootstrap_interval(hits, one.outcomes[metric], n_bootstrap=n_bootstrap, seed=seed).to_dict()
        for metric, hits in reference.outcomes.items()
    }
    return {"fairness": fairness, "accuracy": accuracy}


def _skew(found: Mapping[str, Measurement], reference: str) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for gallery, attributes in found[reference].rankings.items():
        queries = np.array(found[reference].queries[gallery])
        concepts = list(dict.fromkeys(queries.tolist()))

        def per_concept(result: RankFairness, queries=queries, concepts=concepts) -> list[list[float]]:
            return [result.skew[queries == concept].mean(axis=0).tolist() for concept in concepts]

        for attribute, results in attributes.items():
            for i, result in enumerate(results):
                if result.target == "uniform":
                    tables.setdefault(gallery, {}).setdefault(attribute, {})[str(result.k)] = {
                        "groups": list(found[reference].fairness[gallery][attribute]["groups"]),
                        "concepts": concepts,
                        "models": {name: per_concept(one.rankings[gallery][attribute][i]) for name, one in found.items()},
                    }
    return tables


def thumbnail(image: Image.Image) -> bytes:
    """JPEG bytes, ``SHEET_HEIGHT`` pixels high."""
    buffer = io.BytesIO()
    image.resize((max(1, image.width * SHEET_HEIGHT // image.height), SHEET_HEIGHT)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
