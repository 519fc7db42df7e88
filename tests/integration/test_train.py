import pytest
import torch

from cfray.clip.model import load_clip
from cfray.config import build_config
from cfray.errors import UserError
from cfray.train.config import TrainConfig
from cfray.train.job import train


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
    return train(recipe(tmp_path_factory.mktemp("one") / "run", dataset))


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


def test_a_finished_run_is_not_repeated(one_worker):
    again = train(recipe(one_worker["config"]["output"], one_worker["config"]["data"]))
    assert again == one_worker


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": 3}, "sets_per_batch=4 is not a multiple of workers=3"),
        ({"workers": 40, "sets_per_batch": 40}, "workers=40 with 1 CPUs each .* need 40 CPUs, the cluster has 4"),
        ({"sets_per_batch": 400}, "sets_per_batch=400 needs as many kept sets"),
        ({"model": "world:vit"}, "'world:vit' is not in the embedded world"),
        ({"model": "ViT-B-32/nothing"}, "CLIP model 'ViT-B-32/nothing' not found"),
        ({"data": "nowhere"}, "no data set at 'nowhere'"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_written(dataset, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        train(recipe(tmp_path / "run", changes.pop("data", dataset), **changes))
    assert not (tmp_path / "run").exists()
