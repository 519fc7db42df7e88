import json

import pytest
import torch

from cfray.clip.model import load_clip, save_clip
from cfray.config import build_config
from cfray.errors import UserError
from cfray.evaluate.config import EvaluateConfig
from cfray.evaluate.suite import evaluate


def recipe(output, tuned, **changes) -> EvaluateConfig:
    data = {
        "output": str(output),
        "base": "world:clip",
        "tuned": tuned,
        "benchmarks": [{"kind": "world", "k": 50}],
        "alphas": [0, 0.5],
        "bootstrap": 20,
        "floor_permutations": 20,
    }
    return build_config(EvaluateConfig, data | changes)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> str:
    """The world's CLIP with a little noise in every weight: something to blend with that needs no training."""
    clip = load_clip("world:clip")
    generator = torch.Generator().manual_seed(0)
    state = {
        key: value + 0.01 * value.std() * torch.randn(value.shape, generator=generator) if value.ndim > 1 else value
        for key, value in clip.model.state_dict().items()
    }
    place = str(tmp_path_factory.mktemp("tuned"))
    save_clip(clip, "world:clip", state, place)
    return place


@pytest.fixture(scope="module")
def record(cluster, tuned, tmp_path_factory):
    return evaluate(recipe(tmp_path_factory.mktemp("evaluate") / "run", tuned))


def test_every_alpha_has_all_metrics_with_floors_and_intervals(record):
    points = record["result"]["alphas"]
    assert [point["alpha"] for point in points] == [0, 0.5]
    for point in points:
        assert list(point["fairness"]) == ["portraits", "people_in_scenes", "portraits_held_out", "people_in_scenes_held_out"]
        for gallery in point["fairness"].values():
            assert list(gallery) == ["gender", "skin_tone"]
            for summary in gallery.values():
                for metric in ("maxskew@50", "minskew@50", "ndkl@50"):
                    for target in ("uniform", "pool"):
                        row = summary[metric][target]
                        assert row["low"] <= row["value"] <= row["high"]
        assert {"zero_shot_things", "zero_shot_professions", "recall@5_text_to_image", "recall@5_image_to_text"} <= point[
            "accuracy"
        ].keys()
        assert all(0 <= value <= 1 for value in point["accuracy"].values())


def test_the_shipped_clip_is_accurate_and_visibly_biased(record):
    base = record["result"]["alphas"][0]
    assert base["accuracy"]["zero_shot_professions"] > 0.9
    for attribute in ("gender", "skin_tone"):
        row = base["fairness"]["portraits"][attribute]["maxskew@50"]["uniform"]
        assert row["value"] > 3 * row["floor"]


def test_the_recommended_checkpoint_is_a_clip(record):
    assert record["result"]["recommended_alpha"] in (0, 0.5)
    clip = load_clip(record["result"]["checkpoint"])
    assert clip.model.encode_text(clip.tokenize(["a photo of a doctor"])).shape == (1, 128)


def test_measured_alphas_are_not_measured_again(cluster, tuned, record, tmp_path):
    config = recipe(tmp_path / "run", tuned)
    (tmp_path / "run" / "alphas").mkdir(parents=True)
    for alpha, point in zip((0, 0.5), record["result"]["alphas"], strict=True):
        (tmp_path / "run" / "alphas" / f"{alpha:.4f}.json").write_text(json.dumps(point | {"marker": alpha}))
    again = evaluate(config)
    assert [point["marker"] for point in again["result"]["alphas"]] == [0, 0.5]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"benchmarks": [{"kind": "utkface", "images": "./nowhere", "k": [5]}]}, "image folder './nowhere' not found"),
        ({"alphas": [0.5, 1]}, "hold 0"),
        ({"alphas": [0, 2]}, r"must lie in \[0, 1\]"),
        ({"tuned": "./nowhere"}, "model folder './nowhere' not found"),
        ({"workers": 50}, "do not fit the cluster"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_written(cluster, tuned, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        evaluate(recipe(tmp_path / "run", changes.pop("tuned", tuned), **changes))
    assert not (tmp_path / "run").exists()
