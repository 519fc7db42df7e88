"""What a recipe costs before anything runs: images, GPU-hours and storage, and the actor pools that keep a cluster busy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pydantic import Field

from cfray.config import Config
from cfray.errors import UserError
from cfray.generate.config import GenerateConfig, HttpWriterConfig
from cfray.generate.plan import chosen_concepts

CAPTIONS = "captions"


class PricingConfig(Config):
    """Where seconds per image come from, and the cluster to spread the actors over.

    ``seconds`` maps captions, base, masks, inpaint and checks to seconds per image (per caption) of one actor;
    ``measure_sets`` measures them instead, by making that many sets with the recipe's models on the connected cluster.
    """

    seconds: dict[str, float] = {}
    measure_sets: int | None = Field(None, ge=2, description="the first one warms the models up and is not counted")
    gpus: float = Field(8, ge=0)
    cpus: float = Field(64, gt=0)
    price_per_gpu_hour: float | None = Field(None, ge=0)
    bytes_per_pixel: float = Field(1.7, gt=0, description="of a PNG; photographs take 1.5 to 2")


class PlanConfig(GenerateConfig):
    """``jobs/plan.py``: a recipe of ``jobs/generate.py`` and how to price it."""

    pricing: PricingConfig


@dataclass(frozen=True)
class Load:
    """What one set costs in a stage: seconds of one actor, and the GPUs and CPUs that the actor holds."""

    name: str
    seconds: float
    gpus: float
    cpus: float


@dataclass(frozen=True)
class Schedule:
    """Actors per stage, the hours that the sets take with them, and the share of the GPUs (else CPUs) that is busy."""

    stage_by_stage: bool
    actors: dict[str, int]
    hours: float
    efficiency: float


def price(config: PlanConfig, seconds: dict[str, float], bytes_per_set: float | None = None) -> dict[str, Any]:
    """The price of a recipe, ready for JSON.

    Args:
        config: the recipe and the cluster.
        seconds: seconds per image by stage, as ``PricingConfig.seconds``.
        bytes_per_set: measured; None: from the size of the pictures.

    Raises:
        UserError: if a stage has no seconds, or one actor of a stage does not fit the cluster.
    """
    loads = loads_of(config, seconds)
    concepts = len(chosen_concepts(config.concepts))
    sets, variants = concepts * config.sets_per_concept, config.appearances.variants
    pricing = config.pricing
    schedules = [schedule for schedule in (at_once(loads, pricing, sets), one_by_one(loads, pricing, sets)) if schedule]
    stages = {
        load.name: {
            "images": sets * images_per_set(config)[load.name], "seconds_per_image": seconds[load.name],
            "gpu_hours": sets * load.seconds * load.gpus / 3600, "cpu_hours": sets * load.seconds * load.cpus / 3600,
        }
        for load in loads
    }  # fmt: skip
    writer = config.write_captions
    if writer is not None and not isinstance(writer, HttpWriterConfig):
        captions = concepts * writer.per_concept
        hours = captions * _seconds(seconds, CAPTIONS) / 3600
        stages = {
            CAPTIONS: {
                "images": captions, "seconds_per_image": seconds[CAPTIONS], "gpu_hours": hours * writer.num_gpus,
                "cpu_hours": hours * writer.num_cpus,
            }
        } | stages  # fmt: skip
    gpu_hours = sum(stage["gpu_hours"] for stage in stages.values())
    stored = bytes_per_set or pricing.bytes_per_pixel * config.base.size**2 * (1 + variants)
    return {
        "concepts": concepts, "sets": sets, "images": sets * (1 + variants), "stages": stages, "gpu_hours": gpu_hours,
        "cost": None if pricing.price_per_gpu_hour is None else gpu_hours * pricing.price_per_gpu_hour,
        "storage_gb": sets * stored / 1e9, "schedules": [asdict(schedule) for schedule in schedules],
    }  # fmt: skip


def images_per_set(config: GenerateConfig) -> dict[str, int]:
    """How many images of a set each stage handles."""
    variants = config.appearances.variants
    return {"base": 1, "masks": 1, "inpaint": variants, "checks": variants + 1}


def loads_of(config: GenerateConfig, seconds: dict[str, float]) -> list[Load]:
    """The stages' loads, in their order."""
    return [
        Load(name, images * _seconds(seconds, name), getattr(config, name).num_gpus, getattr(config, name).num_cpus)
        for name, images in images_per_set(config).items()
    ]


def at_once(loads: list[Load], cluster: PricingConfig, sets: int) -> Schedule | None:
    """Pools that run at the same time, the slowest as fast as the cluster allows; None where one of each does not fit.

    The slowest stage gets another actor as long as one fits; no other split has a faster slowest stage.
    """
    actors = {load.name: 1 for load in loads}
    if not _fits(loads, actors, cluster):
        return None
    while True:
        slowest = max(loads, key=lambda load: load.seconds / actors[load.name])
        more = actors | {slowest.name: actors[slowest.name] + 1}
        if actors[slowest.name] >= sets or not _fits(loads, more, cluster):
            break
        actors = more
    hours = sets * max(load.seconds / actors[load.name] for load in loads) / 3600
    return Schedule(False, actors, hours, _efficiency(loads, cluster, sets, hours))


def one_by_one(loads: list[Load], cluster: PricingConfig, sets: int) -> Schedule:
    """Every stage with as many actors as the cluster holds, one stage after the other.

    Raises:
        UserError: if one actor of a stage does not fit.
    """
    actors = {}
    for load in loads:
        room = min(have / need for have, need in ((cluster.gpus, load.gpus), (cluster.cpus, load.cpus)) if need)
        if room < 1:
            raise UserError(
                f"one actor of {load.name} needs {load.gpus:g} GPUs and {load.cpus:g} CPUs; pricing.gpus={cluster.gpus:g} and "
                f"pricing.cpus={cluster.cpus:g} are less"
            )
        actors[load.name] = min(int(room + 1e-9), sets)
    hours = sum(sets * load.seconds / actors[load.name] for load in loads) / 3600
    return Schedule(True, actors, hours, _efficiency(loads, cluster, sets, hours))


def recommended(schedules: list[dict[str, Any]]) -> dict[str, Any]:
    """All stages at once unless that takes over a tenth longer: one after the other stores every stage's pictures."""
    return min(schedules, key=lambda schedule: schedule["hours"] * (1.1 if schedule["stage_by_stage"] else 1))


def _fits(loads: list[Load], actors: dict[str, int], cluster: PricingConfig) -> bool:
    gpus = sum(load.gpus * actors[load.name] for load in loads)
    cpus = sum(load.cpus * actors[load.name] for load in loads)
    return gpus <= cluster.gpus + 1e-9 and cpus <= cluster.cpus + 1e-9


def _efficiency(loads: list[Load], cluster: PricingConfig, sets: int, hours: float) -> float:
    on_gpus = sum(load.gpus for load in loads) > 0
    work = sets * sum(load.seconds * (load.gpus if on_gpus else load.cpus) for load in loads) / 3600
    return work / ((cluster.gpus if on_gpus else cluster.cpus) * hours)


def _seconds(seconds: dict[str, float], stage: str) -> float:
    if stage not in seconds:
        raise UserError(f"pricing.seconds has no {stage!r}; give pricing.seconds.{stage}=... or pricing.measure_sets=4")
    return seconds[stage]
