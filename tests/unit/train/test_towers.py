"""What of a CLIP trains: no weight that no loss reads, and the indexes that stay valid with it."""

import pytest
import torch

from cfray.clip.model import load_clip
from cfray.config import build_config
from cfray.errors import UserError
from cfray.train.config import TrainConfig
from cfray.train.loop import Run, Worker
from cfray.train.towers import choose_trainable, valid_indexes


def config_of(data="", **changes) -> TrainConfig:
    base = {
        "output": "", "data": data, "model": "world:clip", "sets_per_batch": 4, "images_per_set": 2, "learning_rate": 1e-3,
        "warmup": 0, "log": {"tensorboard": False},
    }  # fmt: skip
    return build_config(TrainConfig, base | changes)


PAIRS = {"data": "pairs", "form": "pairs", "images_per_step": 4}


@pytest.mark.parametrize(
    ("changes", "text_trains", "scale_trains"),
    [
        ({}, True, True),
        ({"loss": {"beta_clip": 0}}, False, False),
        ({"loss": {"beta_clip": 0}, "rehearsal": [PAIRS | {"form": "embedding"}]}, False, False),
        ({"loss": {"beta_clip": 0}, "rehearsal": [PAIRS]}, True, True),
        ({"loss": {"beta_clip": 0, "anchor_text": 1.0}}, True, False),
        ({"loss": {"beta_clip": 0}, "trainable": "lora"}, False, False),
        ({"trainable": "image"}, False, False),
    ],
)
def test_what_no_loss_reads_is_frozen_and_its_index_stays_valid(changes, text_trains, scale_trains):
    model = load_clip("world:clip").model
    choose_trainable(model, config_of(**changes))
    training = [name for name, p in model.named_parameters() if p.requires_grad]
    assert any(name.startswith("transformer.") for name in training) == text_trains
    assert ("logit_scale" in training) == scale_trains
    assert valid_indexes(model) == {"text": not text_trains, "image": False}


def test_a_text_tower_that_no_loss_reads_cannot_be_all_that_trains():
    with pytest.raises(UserError, match="trainable=text .* leaves no parameter to train that the loss reads"):
        choose_trainable(load_clip("world:clip").model, config_of(trainable="text", loss={"beta_clip": 0}))


@pytest.mark.parametrize("chunks", [1, 2])
def test_weight_decay_moves_nothing_that_no_loss_reads(rendered_sets, chunks):
    config = config_of(rendered_sets, loss={"beta_clip": 0}, chunks=chunks, weight_decay=10.0)
    run = Run(config, Worker(0, 1, torch.device("cpu"), report=None))
    before = {key: value.clone() for key, value in run.clip.model.state_dict().items()}
    run.train_step(run.batches.batch(0))
    moved = {key for key, value in run.clip.model.state_dict().items() if not torch.equal(value, before[key])}
    assert moved and all(key.startswith("visual.") for key in moved)
