"""Several models in one table: each against a reference, with paired bootstrap differences."""

from __future__ import annotations

import io
import json
from itertools import product
from typing import Any

import ray
import torch
from PIL import Image

from cfray import storage
from cfray.cluster import plain_errors, require_workers
from cfray.errors import UserError
from cfray.evaluate.benchmark import Measurement
from cfray.evaluate.cluster_pass import embed_on_cluster
from cfray.evaluate.compare_tables import as_csv, as_text
from cfray.evaluate.comparison import comparison
from cfray.evaluate.config import CompareConfig
from cfray.evaluate.images import decode
from cfray.evaluate.models import each_model
from cfray.evaluate.registry import build_benchmarks
from cfray.progress import Progress, shown
from cfray.report.compare import render_comparison, render_sheets
from cfray.runs import Record, finished_record

SHEET_HEIGHT = 96
Sheets = dict[str, dict[str, dict[str, list[tuple[str, bytes]]]]]


class Comparer:
    """Holds the models and the benchmarks' data; measures them all."""

    def __init__(self, config: CompareConfig):
        self._config = config
        if not config.gpus_per_worker:
            torch.set_num_threads(max(1, int(config.cpus_per_worker)))
        device = torch.device("cuda" if config.gpus_per_worker else "cpu")
        self._models = dict(each_model(config.models, device))
        self._benchmarks = build_benchmarks(config.benchmarks, config.settings)

    def compare(self) -> dict[str, Any]:
        """The result (see ``compare``), what was read, and the pictures of the sheets."""
        found, progress = {}, Progress("compare", len(self._models), unit="models")
        with shown(progress.line, progress.publish):
            self._measure(found, progress)
        reference = self._config.reference or next(iter(found))
        result = comparison(found, reference, self._config.able_accuracy, self._config.bootstrap, self._config.seed)
        return {"result": result, "read": [b.report.to_dict() for b in self._benchmarks], "sheets": self._sheets()}

    def _measure(self, found: dict[str, Measurement], progress: Progress) -> None:
        for name, model in self._models.items():
            found[name], clip = Measurement(), model.ready()
            for benchmark in self._benchmarks:
                measured = benchmark.measure(clip)
                for part in vars(measured):
                    getattr(found[name], part).update(getattr(measured, part))
            progress.finish(1)
            print(progress.line(), flush=True)

    def _sheets(self) -> Sheets:
        """Name and thumbnail of the first pictures by {"benchmark, prompt set": {concept: {model: ...}}}."""
        sheets: Sheets = {}
        people = [ranked for benchmark in self._benchmarks for ranked in benchmark.people] if self._config.sheets else []
        for ranked, (name, model) in product(people, self._models.items()):
            tops = ranked.top_pictures(model.ready(), self._config.sheets, self._config.sheet_images)
            for prompts, concepts in tops.items():
                for concept, pictures in concepts.items():
                    where = sheets.setdefault(f"{ranked.report.benchmark}, {prompts}", {}).setdefault(concept, {})
                    where[name] = [(p.name, thumbnail(decode(p.read(), p.box))) for p in pictures]
        return sheets


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
    for _ in each_model(config.models, torch.device("cpu")):
        pass  # loaded to see that it can be
    benchmarks = build_benchmarks(config.benchmarks, config.settings)
    people = [ranked for benchmark in benchmarks for ranked in benchmark.people]
    missing = [concept for concept in config.sheets if not any(ranked.has_concept(concept) for ranked in people)]
    if missing:
        raise UserError(f"sheets: {missing[0]!r} is a concept of none of the benchmarks' prompts")
    storage.require_writable(config.output)
    require_workers(config.workers, config.cpus_per_worker, config.gpus_per_worker)
    record = Record(config.output, "compare", config)
    record.start()
    with record.timed("compare"):
        embed_on_cluster(config.models, [gallery for benchmark in benchmarks for gallery in benchmark.galleries], config)
        actor = ray.remote(num_cpus=config.cpus_per_worker, num_gpus=config.gpus_per_worker)(Comparer).remote(config)
        with plain_errors():
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


def thumbnail(image: Image.Image) -> bytes:
    """JPEG bytes, ``SHEET_HEIGHT`` pixels high."""
    buffer = io.BytesIO()
    image.resize((max(1, image.width * SHEET_HEIGHT // image.height), SHEET_HEIGHT)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
