import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import open_clip
import psutil
import pytest
import torch
import yaml
from transformers import CLIPModel

import cfray.clip
from cfray.clip.model import load_clip
from cfray.config import build_config
from cfray.errors import UserError
from cfray.train.config import TrainConfig
from cfray.train.job import train
from tests.integration.conftest import REPOSITORY


def recipe(output, data, **changes) -> TrainConfig:
    base = {
        "output": str(output), "data": data, "model": "world:clip", "steps": 4, "sets_per_batch": 4, "images_per_set": 3,
        "checkpoint_every": 2, "learning_rate": 1e-4, "warmup": 1, "cpus_per_worker": 1,
    }  # fmt: skip
    return build_config(TrainConfig, base | changes)


def state(record) -> dict[str, torch.Tensor]:
    return load_clip(record["result"]["checkpoint"]).model.state_dict()


@pytest.fixture(scope="module")
def one_worker(dataset, tmp_path_factory):
    return train(recipe(tmp_path_factory.mktemp("one") / "run", dataset, blends=[0.5]))


def test_training_moves_the_weights_and_logs_step_0(one_worker):
    before, after = load_clip("world:clip").model.state_dict(), state(one_worker)
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[key], after[key]) for key in before if key.startswith("visual."))
    assert [row["step"] for row in one_worker["result"]["curve"]] == [0, 2, 4]
    assert all(row["clip_loss"] > 0 for row in one_worker["result"]["curve"])


def test_two_workers_train_what_one_trains(dataset, one_worker, tmp_path):
    two = train(recipe(tmp_path / "run", dataset, workers=2))
    for row, other in zip(one_worker["result"]["curve"], two["result"]["curve"], strict=True):
        for term in ("clip_loss", "counterfactual_loss", "loss"):
            assert row[term] == pytest.approx(other[term], rel=1e-4)
    one, both = state(one_worker), state(two)
    base = load_clip("world:clip").model.state_dict()
    moved = torch.cat([(one[key] - base[key]).flatten() for key in base])
    apart = torch.cat([(one[key] - both[key]).flatten() for key in base])
    assert apart.norm() < 0.02 * moved.norm()


@pytest.mark.real_data
@pytest.mark.slow
def test_a_timm_and_a_hugging_face_tower_train(dataset, lit_folder, tmp_path):
    record = train(recipe(tmp_path / "run", dataset, model=lit_folder, steps=2))
    before, after = load_clip(lit_folder).model.state_dict(), state(record)
    assert before.keys() == after.keys()
    for tower in ("visual.trunk.", "text.transformer."):
        assert any(not torch.equal(before[key], after[key]) for key in before if key.startswith(tower))
    assert not (tmp_path / "run" / "huggingface").exists()
    assert all(row["loss"] > 0 for row in record["result"]["curve"])


def test_a_finished_run_is_not_repeated(one_worker):
    again = train(recipe(one_worker["config"]["output"], one_worker["config"]["data"], blends=[0.5]))
    assert again == one_worker


def test_a_run_leaves_what_others_take_up(one_worker):
    result, output = one_worker["result"], Path(one_worker["config"]["output"])
    trained = open_clip.create_model(f"local-dir:{result['checkpoint']}").state_dict()
    blended = cfray.clip.load(result["checkpoint"], alpha=0.5).model.state_dict()
    written, original = load_clip(result["blends"]["0.5"]).model.state_dict(), load_clip("world:clip").model.state_dict()
    for key, value in blended.items():
        assert torch.equal(value, written[key])
        torch.testing.assert_close(value, (original[key] + trained[key]) / 2)
    twin = CLIPModel.from_pretrained(result["huggingface"])
    assert torch.equal(twin.visual_projection.weight, trained["visual.proj"].T)
    assert "supcon" in (output / "checkpoint" / "README.md").read_text()
    assert list((output / "tensorboard").glob("events.*"))
    assert result["valid_indexes"] == {"text": False, "image": False} and result["stopped"] is None
    row = result["curve"][-1]
    assert row["images_per_second"] == pytest.approx(3 * row["sets_per_second"]) and 0 <= row["waiting"] <= 1
    assert {"logit_scale", "gradient_norm", "bad_steps"} <= row.keys()


@pytest.mark.parametrize(("trainable", "frozen"), [("image", "transformer."), ("text", "visual.")])
def test_a_tower_that_is_left_out_stays_as_it_was(dataset, tmp_path, trainable, frozen):
    after = state(train(recipe(tmp_path / "run", dataset, trainable=trainable, steps=2)))
    before = load_clip("world:clip").model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before if key.startswith(frozen))
    assert any(not torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize(
    "loss",
    [{"beta_clip": 0}, {"beta_cf": 0}, {"anchor_text": 1.0, "anchor_image": 1.0}, {"form": "cosine", "clip_targets": "plain"}],
)
def test_every_loss_trains_on_two_workers(dataset, tmp_path, loss):
    record = train(recipe(tmp_path / "run", dataset, workers=2, steps=2, loss=loss))
    assert record["result"]["curve"][-1]["loss"] > 0
    if loss == {"beta_clip": 0}:
        before, after = load_clip("world:clip").model.state_dict(), state(record)
        assert all(torch.equal(before[key], after[key]) for key in before if not key.startswith("visual."))
        assert record["result"]["valid_indexes"] == {"text": True, "image": False}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": 3}, "sets_per_batch=4 is not a multiple of workers=3"),
        ({"cpus_per_worker": 40}, "workers=1 with 40 CPUs each .* need 40 CPUs, the cluster has 4"),
        ({"sets_per_batch": 400}, "sets_per_batch=400 needs as many kept sets"),
        ({"chunks": 5}, "chunks=5 is more than the 4 sets"),
        ({"images_per_set": 1}, "images_per_set=1 leaves no counterfactual"),
        ({"max_accuracy_lost": 0.1}, "needs probes to measure accuracy"),
        ({"locked": ["vision."]}, "locked='vision.' begins no parameter's name"),
        ({"model": "world:vit"}, "'world:vit' is not in the embedded world"),
        ({"model": "ViT-B-32/nothing"}, "CLIP model 'ViT-B-32/nothing' not found"),
        ({"data": "nowhere"}, "no data set at 'nowhere'"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_written(dataset, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        train(recipe(tmp_path / "run", changes.pop("data", dataset), **changes))
    assert not (tmp_path / "run").exists()


# Sixty short steps of two workers, so that most of the run is still to come when its first checkpoint is there.
LONG = {"steps": 60, "checkpoint_every": 5, "sets_per_batch": 2, "workers": 2, "huggingface": False}


@pytest.fixture(scope="module")
def undisturbed(dataset, tmp_path_factory):
    return state(train(recipe(tmp_path_factory.mktemp("undisturbed") / "run", dataset, **LONG)))


def wait_for_checkpoint(output: Path, is_running: Callable[[], bool]) -> None:
    while not list((output / "ray").glob("*/checkpoint_*/state.pt")):
        assert is_running(), "the run ended before its first checkpoint"
        time.sleep(0.01)


def train_workers() -> list[psutil.Process]:
    """Workers of Ray Train in the cluster that this test session started."""
    ours = {process.pid for process in psutil.Process().children(recursive=True)}
    processes = psutil.process_iter(["cmdline"])
    return [p for p in processes if p.pid in ours and "RayTrainWorker" in " ".join(p.info["cmdline"] or [])]


@pytest.mark.slow
def test_a_run_whose_worker_was_killed_ends_with_the_same_weights(dataset, undisturbed, tmp_path):
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(train, recipe(tmp_path / "run", dataset, **LONG))
        wait_for_checkpoint(tmp_path / "run", lambda: not run.done())
        victim = train_workers()[0]
        victim.kill()
        victim.wait(60)
        assert not run.done()
        after = state(run.result())
    assert all(torch.equal(undisturbed[key], after[key]) for key in undisturbed)


@pytest.mark.slow
def test_a_run_whose_driver_was_killed_ends_with_the_same_weights(dataset, undisturbed, tmp_path):
    file = tmp_path / "train.yaml"
    file.write_text(yaml.safe_dump(recipe(tmp_path / "run", dataset, **LONG).model_dump(mode="json")))
    command = [sys.executable, "jobs/train.py", "--config", str(file)]
    environment = os.environ | {"RAY_ADDRESS": "local"}
    victim = subprocess.Popen(command, cwd=REPOSITORY, env=environment, start_new_session=True)
    wait_for_checkpoint(tmp_path / "run", lambda: victim.poll() is None)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    assert not (tmp_path / "run" / "checkpoint").exists()
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"result: {tmp_path / 'run' / 'checkpoint'}"
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert len(record["started"]) == 2
    after = state(record)
    assert all(torch.equal(undisturbed[key], after[key]) for key in undisturbed)
