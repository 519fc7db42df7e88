from pathlib import Path

import pytest
import yaml

from cfray.config import build_config, config_hash, load_config
from cfray.demo import DemoConfig
from cfray.errors import UserError
from cfray.evaluate.config import EvaluateConfig
from cfray.train.config import TrainConfig

TRAIN = {"output": "o", "data": "d", "model": "world:clip"}


def test_overrides_win_and_are_typed(tmp_path):
    file = tmp_path / "train.yaml"
    file.write_text(yaml.safe_dump(TRAIN | {"steps": 5, "loss": {"beta_cf": 2.0}}))
    config = load_config(TrainConfig, str(file), ["steps=7", "loss.form=cosine", "loss.beta_clip=0"])
    assert (config.steps, config.loss.form, config.loss.beta_clip, config.loss.beta_cf) == (7, "cosine", 0.0, 2.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stepz": 3}, "unknown configuration key 'stepz'; known here: output, data, model"),
        ({"loss": {"beta": 1}}, "unknown configuration key 'loss.beta'; known here: beta_clip"),
        ({"steps": 0}, "steps=0: input should be greater than or equal to 1"),
        ({"steps": "many"}, "steps='many'"),
        ({"loss": {"form": "triplet"}}, "loss.form='triplet'"),
    ],
)
def test_bad_values_are_one_line(changes, message):
    with pytest.raises(UserError) as caught:
        build_config(TrainConfig, TRAIN | changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_values_files_and_signs(tmp_path):
    with pytest.raises(UserError, match="'benchmarks' is missing; give benchmarks="):
        build_config(EvaluateConfig, {"output": "o", "base": "b", "tuned": "t"})
    with pytest.raises(UserError, match="'nowhere.yaml' not found"):
        load_config(TrainConfig, "nowhere.yaml", [])
    with pytest.raises(UserError, match="has no '='"):
        load_config(TrainConfig, None, ["steps"])
    (tmp_path / "list.yaml").write_text("[1, 2]")
    with pytest.raises(UserError, match="not a mapping"):
        load_config(TrainConfig, str(tmp_path / "list.yaml"), [])
    with pytest.raises(UserError, match="a single value"):
        load_config(TrainConfig, None, ["steps=3", "steps.more=4"])


@pytest.mark.parametrize(
    ("benchmarks", "message"),
    [
        ([], "benchmarks=[]: list should have at least 1 item"),
        ([{"kind": "faces"}], "benchmarks.0.kind='faces' is unknown; known are 'world', 'fairface'"),
        ([{"k": 1}], "benchmarks.0 has no kind; give benchmarks.0.kind="),
        ([{"kind": "world"}], "'benchmarks.0.world.k' is missing"),
        ([{"kind": "world", "k": 1, "kk": 2}], "unknown configuration key 'benchmarks.0.world.kk'; known here: kind, k"),
    ],
)
def test_benchmarks_are_told_apart_by_their_kind(benchmarks, message):
    with pytest.raises(UserError) as caught:
        build_config(EvaluateConfig, {"output": "o", "base": "b", "tuned": "t", "benchmarks": benchmarks})
    assert message in str(caught.value)


def test_the_hash_names_the_configuration():
    first, second = build_config(TrainConfig, TRAIN), build_config(TrainConfig, dict(reversed(TRAIN.items())))
    assert config_hash(first) == config_hash(second)
    assert config_hash(first) != config_hash(build_config(TrainConfig, TRAIN | {"seed": 1}))


def test_the_shipped_demo_is_valid():
    assert load_config(DemoConfig, str(Path(__file__).parents[2] / "jobs/configs/demo.yaml"), []).output == "runs/demo"
