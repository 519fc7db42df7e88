from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfray.config import build_config, load_config
from cfray.errors import UserError
from cfray.generate.pricing import Load, PlanConfig, PricingConfig, at_once, one_by_one, price

SDXL = "jobs/configs/professions-sdxl.yaml"
SECONDS = {"captions": 0.5, "base": 0.4, "masks": 0.1, "inpaint": 1.5, "checks": 0.05}


def cluster(gpus: float, cpus: float = 1000) -> PricingConfig:
    return build_config(PricingConfig, {"gpus": gpus, "cpus": cpus})


def test_the_production_recipe_has_a_price():
    table = "{" + ", ".join(f"{name}: {value}" for name, value in SECONDS.items()) + "}"
    config = load_config(PlanConfig, SDXL, [f"pricing.seconds={table}", "pricing.gpus=16", "pricing.price_per_gpu_hour=2.0"])
    priced = price(config, config.pricing.seconds)
    sets = priced["concepts"] * 40
    assert priced["sets"] == sets
    assert priced["images"] == sets * 7
    assert priced["stages"]["inpaint"]["gpu_hours"] == pytest.approx(sets * 6 * 1.5 / 3600)
    assert priced["stages"]["captions"]["gpu_hours"] == pytest.approx(priced["concepts"] * 40 * 0.5 / 3600)
    assert priced["cost"] == pytest.approx(2 * priced["gpu_hours"])
    assert priced["storage_gb"] == pytest.approx(sets * 7 * 512**2 * 1.7 / 1e9)
    together, apart = priced["schedules"]
    assert together["actors"] == {"base": 1, "masks": 1, "inpaint": 13, "checks": 1}
    assert sum(together["actors"].values()) == 16
    assert together["hours"] == pytest.approx(sets * 9 / 13 / 3600)
    assert apart["actors"] == {"base": 16, "masks": 16, "inpaint": 16, "checks": 16}


def test_a_stage_without_seconds_is_named():
    config = load_config(PlanConfig, SDXL, ["pricing={gpus: 4}"])
    with pytest.raises(
        UserError, match=r"pricing.seconds has no 'base'; give pricing.seconds.base=... or pricing.measure_sets=4"
    ):
        price(config, {"masks": 1.0})


def test_fewer_gpus_than_stages_run_one_by_one():
    loads = [Load(name, 1.0, 1, 1) for name in "abcd"]
    assert at_once(loads, cluster(3), 100) is None
    schedule = one_by_one(loads, cluster(3), 100)
    assert schedule.actors == dict.fromkeys("abcd", 3)
    assert schedule.efficiency == pytest.approx(1.0)
    with pytest.raises(UserError, match="one actor of a needs 1 GPUs"):
        one_by_one(loads, cluster(0.5), 100)


def test_parts_of_a_gpu_and_cpus_are_counted():
    loads = [Load("big", 3.0, 1, 1), Load("small", 0.5, 0.25, 2)]
    assert at_once(loads, cluster(4), 1000).actors == {"big": 3, "small": 1}
    assert at_once(loads, cluster(4, cpus=4), 1000).actors == {"big": 2, "small": 1}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.1, 5.0), min_size=2, max_size=3), st.integers(3, 9))
def test_no_other_split_has_a_faster_slowest_stage(seconds, gpus):
    loads = [Load(str(i), value, 1, 0) for i, value in enumerate(seconds)]
    found = at_once(loads, cluster(gpus), 10_000)
    splits = (split for split in product(range(1, gpus + 1), repeat=len(loads)) if sum(split) <= gpus)
    best = min(max(value / count for value, count in zip(seconds, split, strict=True)) for split in splits)
    assert found.hours * 3600 / 10_000 == pytest.approx(best)
