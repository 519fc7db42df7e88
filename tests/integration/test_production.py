"""The recipe for production models, over tiny checkpoints of the same architectures."""

import json
from pathlib import Path

import numpy as np
import pytest

from cfray.config import load_config
from cfray.dataset.schema import decode_mask, decode_picture
from cfray.dataset.store import read_sets
from cfray.generate.config import GenerateConfig
from cfray.generate.pipeline import generate
from tests.checkpoints import save_llama

RECIPE = Path(__file__).parents[2] / "jobs" / "configs" / "professions-sdxl.yaml"
CAPTIONS = [
    "a photo of a doctor reading a chart in a hospital ward",
    "a photo of a doctor with his pen",
    "a doctor with a stethoscope at a desk by the window",
]
PROGRAMS = {"num_cpus": 0.3, "num_gpus": 0, "actors": 1, "batch_size": 4}


def recipe(checkpoints: dict[str, str], output: Path) -> GenerateConfig:
    """``professions-sdxl.yaml`` with tiny checkpoints, small pictures and no GPU, and otherwise as it is."""
    overrides = [
        f"output={output}", "concepts.names=[doctor]", "sets_per_concept=2", "appearances.variants=4",
        f"write_captions.model={checkpoints['writer']}", "write_captions.per_concept=2", "write_captions.max_rounds=2",
        "write_captions.sampling.max_tokens=12", "write_captions.dtype=float32",
        f"base.model={checkpoints['sdxl']}", "base.size=64", "base.steps=2", "base.images_per_call=2",
        f"masks.model={checkpoints['parser-face']}", "masks.max_area=1.0", "masks.dilate_px=2",
        f"inpaint.model={checkpoints['sdxl-inpaint']}", "inpaint.size=64", "inpaint.steps=3", "inpaint.lora=null",
        "checks.clip.model=world:clip", "checks.clip.min_probability={gender: 0.0}", "checks.clip.concept_margin=1.0",
        f"checks.safety_checker={checkpoints['safety-passes']}", "checks.min_sharpness=0.0", "checks.min_hash_distance=0",
        "checks.skin_pixels_tolerance=9", "checks.num_gpus=0",
    ]  # fmt: skip
    for stage in ("write_captions", "base", "masks", "inpaint"):
        overrides += [f"{stage}.{key}={value}" for key, value in PROGRAMS.items()]
    for stage in ("base", "inpaint"):
        overrides += [f"{stage}.dtype=float32", f"{stage}.vae=null", f"{stage}.weights_variant=null"]
    return load_config(GenerateConfig, str(RECIPE), overrides)


@pytest.fixture(scope="session")
def production(checkpoints, tmp_path_factory) -> dict[str, str]:
    """The checkpoints with a language model that writes two usable captions of a doctor and one that is not."""
    return checkpoints | {"writer": save_llama(tmp_path_factory.mktemp("writer") / "llama", recites=CAPTIONS)}


@pytest.mark.slow
def test_the_production_recipe_makes_its_sets(cluster, production, tmp_path):
    config = recipe(production, tmp_path / "sets")
    record = generate(config)
    assert record["result"]["sets"]["planned"] == 2
    assert record["result"]["sets"]["kept"] == 2
    written = json.loads((tmp_path / "sets" / "captions.json").read_text())
    assert written["captions"] == {"doctor": [CAPTIONS[0], CAPTIONS[2]]}
    assert [row["reason"] for row in written["rejected"]] == ["names appearance (his)"]
    for row in read_sets(config.output).to_pylist():
        assert row["caption"] in CAPTIONS
        assert row["prompt"].startswith(row["caption"])
        assert row["checks"]["people"] == 1
        assert {row["models"][role]["id"] for role in ("base", "inpaint")} == {production["sdxl"], production["sdxl-inpaint"]}
        assert row["models"]["captions"]["id"] == production["writer"]
        base, mask = decode_picture(row["base"]), decode_mask(row["mask"])
        for variant in row["variants"]:
            assert set(variant["attributes"]) == {"gender", "skin_tone", "age"}
            assert np.array_equal(decode_picture(variant["image"])[~mask], base[~mask])
            assert variant["checks"]["context_drift"] == 0
            assert variant["checks"]["skin_tone_pixels"] in range(1, 11)
