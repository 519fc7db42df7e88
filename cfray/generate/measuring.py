"""Measures what a recipe's stages take per image, by making a few sets with its models on the connected cluster."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pyarrow as pa
import ray
import yaml

from cfray.generate.config import GenerateConfig
from cfray.generate.pipeline import pools_of
from cfray.generate.plan import chosen_concepts, make_plan
from cfray.generate.preflight import preflight
from cfray.generate.pricing import images_per_set


class TimedStage:
    """An actor with one stage's model."""

    def __init__(self, stage: type, arguments: tuple):
        self._stage = stage(*arguments)

    def run(self, table: pa.Table, batch_size: int) -> tuple[pa.Table, float, int]:
        """The table after the stage, the seconds that all sets but the first took, and how many of those were open."""
        made = [self._stage(table.slice(0, 1))]
        rest = table.slice(1)
        still_open = sum(not status for status in rest["status"].to_pylist())
        started = time.perf_counter()
        made += [self._stage(rest.slice(start, batch_size)) for start in range(0, rest.num_rows, batch_size)]
        return pa.concat_tables(made), time.perf_counter() - started, still_open


def measure(config: GenerateConfig, sets: int) -> tuple[dict[str, float], float | None]:
    """Seconds per image by stage, and bytes per set that has all its pictures (None where no set has).

    The sets are made one stage after the other, each in one actor with what the recipe gives it, and are not kept.
    Captions are plain ones: no language model is asked, and none is measured.

    Raises:
        UserError: for a recipe that cannot run here.
    """
    pools = pools_of(config)
    preflight(config.model_copy(update={"stage_by_stage": True}), pools)
    table, seconds = _plan(config, sets), {}
    for pool in pools:
        actor = ray.remote(TimedStage).options(num_cpus=pool.num_cpus, num_gpus=pool.num_gpus)
        table, elapsed, count = ray.get(actor.remote(pool.stage, pool.arguments).run.remote(table, pool.batch_size))
        if count:
            seconds[pool.name] = elapsed / (count * images_per_set(config)[pool.name])
    whole = [row for row in table.to_pylist() if all(variant["image"] for variant in row["variants"])]
    pictures = [[row["base"], row["mask"], *(v["image"] for v in row["variants"])] for row in whole]
    sizes = [sum(len(image["bytes"]) for image in images) for images in pictures]
    return seconds, sum(sizes) / len(sizes) if sizes else None


def _plan(config: GenerateConfig, sets: int) -> pa.Table:
    concepts = chosen_concepts(config.concepts)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump({concept.name: [f"a photo of {concept.with_article} at work"] for concept in concepts}, file)
        file.flush()
        per_concept = -(-sets // len(concepts))
        changes = {"captions": str(Path(file.name)), "write_captions": None, "sets_per_concept": per_concept}
        return make_plan(config.model_copy(update=changes)).slice(0, sets)
