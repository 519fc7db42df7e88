"""The audit job: reads every image once, then writes numbers, page and readings, and what the next run should ask for."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import ray
import yaml

from cfray import storage
from cfray.audit.config import AuditConfig
from cfray.audit.reading import SetReader, readers_for
from cfray.concepts.appearance import load_appearances
from cfray.config import build_config
from cfray.dataset.audit import audit_readings
from cfray.dataset.store import PARTS, count_sets, read_table, write_table
from cfray.dataset.webdataset import export_shards
from cfray.errors import UserError
from cfray.generate.config import GenerateConfig
from cfray.groups.coverage import appearance_coverage, next_run
from cfray.report.audit import Sheet, render_audit, sheet_of
from cfray.world.models import model_path

READINGS = "readings.parquet"
NEXT_RUN = "next-run.yaml"


def audit(config: AuditConfig) -> dict[str, Any]:
    """Audit a data set and return the result that ``audit.json`` holds.

    Raises:
        UserError: if there is no finished data set at ``data``, a model is missing, or the output cannot be written.
    """
    recipe = _recipe_of(config.data)
    appearances = load_appearances(recipe.appearances.file)
    unknown = [axis for axis in config.readers if axis not in recipe.appearances.vary]
    if unknown:
        raise UserError(
            f"readers has {unknown[0]!r}, which the sets do not vary; they vary {', '.join(recipe.appearances.vary)}"
        )
    for model in (config.model, *config.readers.values()):
        model_path(model)
    storage.require_writable(config.output)
    readings = read_images(config, recipe)
    write_table(storage.join(config.output, READINGS), readings)
    values = {axis: list(appearances.axes[axis].values) for axis in recipe.appearances.vary}
    result = {
        "schema": 1, "data": config.data, "clip": config.model, "sets": asdict(count_sets(config.data)),
        **audit_readings(readings, values, readers_for(config, recipe, appearances)),
        "coverage": appearance_coverage(readings, values),
    }  # fmt: skip
    if result["coverage"]["measured"]:
        part = yaml.safe_dump(next_run(result["coverage"]["measured"]), sort_keys=False)
        storage.write_bytes(storage.join(config.output, NEXT_RUN), part.encode())
    if config.webdataset is not None:
        result["webdataset"] = export_shards(config.data, config.webdataset.output, config.webdataset.sets_per_shard)
    storage.write_bytes(storage.join(config.output, "audit.json"), (json.dumps(result, indent=2) + "\n").encode())
    page = render_audit(result, contact_sheets(config.data, config.sheet_sets))
    storage.write_bytes(storage.join(config.output, "audit.html"), page.encode())
    return result


def read_images(config: AuditConfig, recipe: GenerateConfig) -> pa.Table:
    """The readings of every image of a data set, in the order of sets and variants."""
    parts = [{"part": part} for part in _parts(config.data)]
    ray.data.DataContext.get_current().enable_progress_bars = False
    read = ray.data.from_items(parts, override_num_blocks=len(parts)).map_batches(
        SetReader, fn_constructor_args=(config, recipe), batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(config.actors, len(parts))), num_cpus=config.num_cpus,
        num_gpus=config.num_gpus,
    )  # fmt: skip
    tables = []
    for done, table in enumerate(read.iter_batches(batch_size=None, batch_format="pyarrow"), start=1):
        tables.append(table)
        print(f"[audit] {done}/{len(parts)} parts read", flush=True)
    return pa.concat_tables(tables).sort_by([("set_id", "ascending"), ("variant", "ascending")])


def contact_sheets(data: str, per_concept: int) -> dict[str, list[Sheet]]:
    """The first sets of every concept as thumbnails, kept ones before others; read part by part."""
    sheets: dict[str, list[tuple[bool, Sheet]]] = {}
    for part in _parts(data):
        for row in read_table(part).to_pylist():
            if row["base"] is None:
                continue
            own = sheets.setdefault(row["concept"], [])
            refused = row["status"] != "kept"
            if len(own) < per_concept or refused < own[-1][0]:
                own.append((refused, sheet_of(row)))
                own.sort(key=lambda entry: entry[0])
                del own[per_concept:]
    return {concept: [sheet for _, sheet in sheets[concept]] for concept in sorted(sheets)}


def _parts(data: str) -> list[str]:
    parts = list(storage.list_files(storage.join(data, PARTS), ".parquet"))
    if not parts:
        raise UserError(f"no data set at {data!r}; run jobs/generate.py with output={data}")
    return parts


def _recipe_of(data: str) -> GenerateConfig:
    file = storage.join(data, "record.json")
    if not storage.exists(file):
        raise UserError(f"no data set at {data!r}; run jobs/generate.py with output={data}")
    record = json.loads(storage.read_bytes(file))
    if record.get("job") != "generate":
        raise UserError(f"{data!r} holds a run of jobs/{record.get('job')}.py; give the output of jobs/generate.py")
    return build_config(GenerateConfig, record["config"])
