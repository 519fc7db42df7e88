"""The loop in one process: what it writes, where it goes on, when it stops."""

import json
import shutil
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from cfray.clip.model import load_clip
from cfray.config import build_config
from cfray.errors import UserError
from cfray.train import loop
from cfray.train.checkpoints import read_progress
from cfray.train.config import TrainConfig
from cfray.train.loop import Worker, fit
from cfray.world.models import model_path


class Kept:
    """Takes reports as Ray Train does; ``die_at`` a number of reports it raises instead."""

    def __init__(self, place: Path, die_at: int | None = None):
        self.rows, self.folders, self._place, self._die_at = [], [], place, die_at

    def __call__(self, row, folder):
        if len(self.rows) == self._die_at:
            raise KeyboardInterrupt
        self.rows.append(row)
        self.folders.append(Path(shutil.move(folder, self._place / f"{len(self.rows)}-{row['step']}")))


def recipe(data, output, **changes) -> TrainConfig:
    base = {
        "output": str(output), "data": data, "model": "world:clip", "steps": 6, "sets_per_batch": 4, "images_per_set": 2,
        "checkpoint_every": 2, "learning_rate": 1e-4, "warmup": 1, "log": {"tensorboard": False},
    }  # fmt: skip
    return build_config(TrainConfig, base | changes)


def run(config, place, *, checkpoint=None, die_at=None) -> Kept:
    place.mkdir(exist_ok=True)
    kept = Kept(place, die_at)
    try:
        fit(config, Worker(0, 1, torch.device("cpu"), kept, checkpoint))
    except KeyboardInterrupt:
        assert die_at is not None
    return kept


def weights(folder) -> dict[str, torch.Tensor]:
    return load_clip(str(folder)).model.state_dict()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"trainable": "lora", "ema": 0.9},
        {"chunks": 2, "loss": {"tile": 3}, "augment": {"crop_area": 0.6, "flip_share": 0.5}},
    ],
)
def test_a_run_that_died_ends_with_the_weights_of_one_that_did_not(rendered_sets, tmp_path, changes):
    config = recipe(rendered_sets, tmp_path, **changes)
    whole = run(config, tmp_path / "whole")
    died = run(config, tmp_path / "died", die_at=2)
    assert [row["step"] for row in died.rows] == [2, 4]
    resumed = run(config, tmp_path / "resumed", checkpoint=died.folders[0])  # an older one: step 4 is done once more
    assert [row["step"] for row in resumed.rows] == [4, 6]
    undisturbed, after = weights(whole.folders[-1]), weights(resumed.folders[-1])
    assert all(torch.equal(undisturbed[key], after[key]) for key in undisturbed)
    one, other = (read_progress(kept.folders[-1]) for kept in (whole, resumed))
    assert [row["loss"] for row in one.curve] == [row["loss"] for row in other.curve]
    assert one.best["step"] == other.best["step"]


def test_steps_without_a_finite_gradient_are_skipped_counted_and_end_the_run(rendered_sets, tmp_path, monkeypatch):
    real, calls = loop.loss_terms, []

    def poisoned(config, features, batch):
        terms = real(config, features, batch)
        calls.append(1)
        return terms | {"loss": terms["loss"] * (float("nan") if len(calls) in (3, 5, 6) else 1)}

    monkeypatch.setattr(loop, "loss_terms", poisoned)
    kept = run(recipe(rendered_sets, tmp_path, max_bad_steps=2, steps=8, checkpoint_every=1), tmp_path / "run")
    assert [row["bad_steps"] for row in kept.rows] == [0, 1, 1, 2, 3]
    assert read_progress(kept.folders[-1]).stopped.startswith("not finite: 3 steps")
    good, after_bad = weights(kept.folders[0]), weights(kept.folders[1])
    assert all(torch.equal(good[key], after_bad[key]) for key in good)
    assert all(value.isfinite().all() for value in weights(kept.folders[-1]).values())


def test_the_guard_stops_a_run_that_forgets_and_the_best_weights_are_there(rendered_sets, captioned_things, tmp_path):
    probe = {"name": "things", "kind": "zero_shot", "data": captioned_things}
    config = recipe(rendered_sets, tmp_path, steps=40, learning_rate=0.02, warmup=0, probes=[probe], max_accuracy_lost=0.2)
    kept = run(config, tmp_path / "run")
    progress = read_progress(kept.folders[-1])
    assert progress.step < 40 and "probe/things fell by" in progress.stopped
    assert progress.curve[0]["probe/things"] - progress.curve[-1]["probe/things"] > 0.2
    best = tmp_path / "best" / f"step-{progress.best['step']}"
    assert progress.best["step"] < progress.step
    if progress.best["step"] == 0:
        original = load_clip("world:clip").model.state_dict()
        assert all(torch.equal(value, original[key]) for key, value in weights(best).items())


def test_checkpoints_by_time_come_between_those_by_steps(rendered_sets, tmp_path):
    kept = run(recipe(rendered_sets, tmp_path, steps=4, checkpoint_every=4, checkpoint_minutes=1e-9), tmp_path / "run")
    assert [row["step"] for row in kept.rows] == [1, 2, 3, 4]
    whole = run(recipe(rendered_sets, tmp_path, steps=4, checkpoint_every=4), tmp_path / "whole")
    resumed = run(
        recipe(rendered_sets, tmp_path, steps=4, checkpoint_every=4), tmp_path / "resumed", checkpoint=kept.folders[1]
    )
    assert resumed.rows[-1]["loss"] == whole.rows[-1]["loss"]


def test_the_average_of_the_weights_is_what_is_released(rendered_sets, tmp_path):
    plain, averaged = (
        run(recipe(rendered_sets, tmp_path, steps=2, **ema), tmp_path / name)
        for name, ema in (("plain", {}), ("averaged", {"ema": 0.5}))
    )
    before, after, released = (
        weights(place)["visual.conv1.weight"] for place in ("world:clip", plain.folders[-1], averaged.folders[-1])
    )
    assert 0 < (released - before).norm() < (after - before).norm()


def test_locked_prefixes_stay_and_unknown_ones_are_named(rendered_sets, tmp_path):
    kept = run(recipe(rendered_sets, tmp_path, steps=2, locked=["visual.conv1", "transformer."]), tmp_path / "run")
    before, after = weights("world:clip"), weights(kept.folders[-1])
    same = {key for key in before if torch.equal(before[key], after[key])}
    assert "visual.conv1.weight" in same and all(key in same for key in before if key.startswith("transformer."))
    assert "visual.proj" not in same
    with pytest.raises(UserError, match="locked='vision.' begins no parameter's name"):
        run(recipe(rendered_sets, tmp_path, locked=["vision."]), tmp_path / "run")


@pytest.mark.parametrize(
    "compute", [{"precision": "bf16"}, {"gradient_checkpointing": True}, {"channels_last": True}, {"tf32": True}]
)
def test_every_way_to_compute_trains_to_about_the_same_loss(rendered_sets, tmp_path, compute):
    plain, other = (
        run(recipe(rendered_sets, tmp_path, steps=2, compute=how), tmp_path / name)
        for name, how in (("plain", {}), ("other", compute))
    )
    assert other.rows[-1]["loss"] == pytest.approx(plain.rows[-1]["loss"], rel=0.02)


def test_a_siglip_of_a_timm_tower_trains_with_the_sigmoid_loss(rendered_sets, captioned_things, tmp_path):
    model = save_tiny_siglip(tmp_path / "siglip")
    rehearsal = [{"data": captioned_things, "form": "pairs", "weight": 1.0, "images_per_step": 4}]
    config = recipe(rendered_sets, tmp_path, model=model, loss={"clip_form": "sigmoid"}, rehearsal=rehearsal, steps=4, warmup=0)
    kept = run(config, tmp_path / "run")
    before, after = weights(model), weights(kept.folders[-1])
    assert before["logit_bias"] != after["logit_bias"]
    assert any(not torch.equal(before[key], after[key]) for key in before if key.startswith("visual.trunk."))
    assert kept.rows[-1]["rehearsal_1_loss"] > 0


def save_tiny_siglip(folder: Path) -> str:
    """Random weights of SigLIP's architecture: a timm ViT with attention pooling and a text transformer that sees both ways."""
    config = {
        "embed_dim": 96, "init_logit_bias": -10, "custom_text": True,
        "vision_cfg": {"timm_model_name": "test_vit3", "timm_pool": "map", "timm_proj": "none", "image_size": 160},
        "text_cfg": {
            "context_length": 56, "vocab_size": 875, "width": 32, "heads": 2, "layers": 1, "no_causal_mask": True,
            "pool_type": "last", "proj_bias": True, "hf_tokenizer_name": "tiny",
        },
    }  # fmt: skip
    folder.mkdir()
    for file in Path(model_path("world:clip")).glob("tokenizer*"):
        shutil.copy(file, folder)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return str(folder)
