"""The main job: generate, train, evaluate in a row, then one result file and one page."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cfray import storage
from cfray.config import Config, build_config
from cfray.dataset.schema import IMAGE, encode_png
from cfray.dataset.store import read_sets
from cfray.errors import UserError
from cfray.evaluate.config import EvaluateConfig
from cfray.evaluate.suite import evaluate
from cfray.generate.config import GenerateConfig
from cfray.generate.pipeline import generate
from cfray.report import GallerySet, GalleryVariant, render_report
from cfray.train.config import TrainConfig
from cfray.train.job import train
from cfray.world import corpora

GALLERY_SETS = 12
# What training rehearses on, number and seed; the seeds are none of those that benchmarks hold out.
ORDINARY = {"things": (corpora.things, 7200, 4001), "pairs": (corpora.ordinary_pairs, 3600, 4002)}
# Roles in result.json and the stages of the generating configuration that fill them.
_ROLES = {"base": "base", "mask": "masks", "inpaint": "inpaint"}


class DemoConfig(Config):
    """``jobs/demo.py``: the three jobs in a row over the embedded world. Their places follow from ``output``.

    ``data`` of an entry of ``train.rehearsal`` is ``things`` or ``pairs``: ordinary pictures that the demo renders.
    """

    output: str
    generate: dict[str, Any]
    train: dict[str, Any]
    evaluate: dict[str, Any]


def run_demo(config: DemoConfig) -> str:
    """Run the three jobs and write ``result.json`` and ``report.html`` below the output; returns the page's place.

    Each job is skipped where its finished run is there, so that a second run only verifies.
    """
    place = {name: storage.join(config.output, name) for name in ("sets", "train", "evaluate")}
    generating = build_config(GenerateConfig, config.generate | {"output": place["sets"]})
    rehearsal = [
        entry | {"data": write_ordinary_pictures(config.output, entry["data"])} for entry in config.train.get("rehearsal", [])
    ]
    training = build_config(
        TrainConfig, config.train | {"output": place["train"], "data": place["sets"], "rehearsal": rehearsal}
    )
    tuned = storage.join(place["train"], "checkpoint")
    evaluating = build_config(EvaluateConfig, config.evaluate | {"output": place["evaluate"], "tuned": tuned})
    generated = generate(generating)
    trained = train(training)
    evaluated = evaluate(evaluating)
    result = assemble_result(generated, trained, evaluated)
    storage.write_bytes(storage.join(config.output, "result.json"), (json.dumps(result, indent=2) + "\n").encode())
    page = storage.join(config.output, "report.html")
    html = render_report(result, gallery_of(place["sets"]), title="cfray demo: the embedded world")
    storage.write_bytes(page, html.encode())
    print(f"[demo] result: {storage.join(config.output, 'result.json')}", flush=True)
    return page


def write_ordinary_pictures(output: str, name: str) -> str:
    """Render ordinary pictures by a seed of their own into a Parquet folder that training rehearses on; returns the folder.

    ``things`` have no people and no captions, ``pairs`` are captioned and name neither a profession nor who is in them.

    Raises:
        UserError: for another name.
    """
    if name not in ORDINARY:
        raise UserError(f"train.rehearsal: data={name!r} is none of the demo's ordinary pictures: {', '.join(ORDINARY)}")
    place = storage.join(output, "ordinary", name)
    file = storage.join(place, "pictures.parquet")
    if not storage.exists(file):
        render, count, seed = ORDINARY[name]
        corpus = render(count, seed)
        columns = {"image": pa.array([encode_png(picture) for picture in corpus.pictures], IMAGE)}
        if corpus.captions:
            columns["caption"] = pa.array(corpus.captions)
        sink = io.BytesIO()
        pq.write_table(pa.table(columns), sink)
        storage.write_bytes(file, sink.getvalue())
    return place


def assemble_result(generated: dict[str, Any], trained: dict[str, Any], evaluated: dict[str, Any]) -> dict[str, Any]:
    """The content of ``result.json``, schema 1, from the records of the three jobs."""
    counts, outcome = generated["result"]["sets"], evaluated["result"]
    models = {role: {"id": generated["config"][stage]["model"], "revision": None} for role, stage in _ROLES.items()}
    models["clip"] = {"id": trained["config"]["model"], "revision": None}
    return {
        "schema": 1,
        "sets": counts | {"failed": sum(counts["failed"].values()), "failed_by_stage": counts["failed"]},
        "models": models,
        "alphas": outcome["alphas"],
        "recommended_alpha": outcome["recommended_alpha"],
        "checkpoint": outcome["checkpoint"],
        "accuracy_budget": evaluated["config"]["max_accuracy_lost"],
        "seconds": generated["seconds"] | trained["seconds"] | evaluated["seconds"],
    }


def gallery_of(dataset: str) -> list[GallerySet]:
    """Some kept sets of a data set, one of each concept at first."""
    by_concept: dict[str, list[dict]] = {}
    for row in read_sets(dataset).to_pylist():
        by_concept.setdefault(row["concept"], []).append(row)
    rounds = [rows[i] for i in range(GALLERY_SETS) for rows in by_concept.values() if i < len(rows)]
    return [
        GallerySet(
            row["caption"], row["concept"], row["base"]["bytes"], row["mask"]["bytes"],
            [_variant(v) for v in row["variants"]],
        )
        for row in rounds[:GALLERY_SETS]
    ]  # fmt: skip


def _variant(variant: dict[str, Any]) -> GalleryVariant:
    words = ", ".join(f"{axis.replace('_', ' ')} {value}" for axis, value in variant["attributes"].items())
    return GalleryVariant(variant["image"]["bytes"], words, variant["status"])
