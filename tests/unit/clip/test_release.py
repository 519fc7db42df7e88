from pathlib import Path

import pytest
import torch

import cfray.clip
from cfray.clip.model import load_clip, save_clip
from cfray.clip.release import evaluated_card, origin_files, write_blends
from cfray.errors import UserError

TRAINING = {
    "config": {
        "model": "ViT-B-32/openai", "data": "s3://bucket/sets", "sets_per_batch": 8, "images_per_set": 4,
        "trainable": "image", "learning_rate": 1e-6, "seed": 3,
        "loss": {"beta_clip": 1.0, "beta_cf": 0.0, "form": "supcon"},
        "rehearsal": [{"form": "pairs", "data": "s3://bucket/pairs", "weight": 2.0}],
    },
    "result": {
        "curve": [{"step": 0, "loss": 3.0, "probe/things": 0.8}, {"step": 9, "loss": 1.5, "probe/things": 0.75}],
        "valid_indexes": {"text": True, "image": False}, "stopped": None, "best": None,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> str:
    """The world's CLIP with every weight moved by one."""
    place, clip = str(tmp_path_factory.mktemp("release") / "checkpoint"), load_clip("world:clip")
    moved = {key: value + 1 for key, value in clip.model.state_dict().items()}
    save_clip(clip, "world:clip", moved, place, files=origin_files("world:clip", TRAINING))
    return place


def test_load_blends_on_the_fly_what_the_blend_files_hold(tuned, tmp_path):
    original = load_clip("world:clip").model.state_dict()
    place = write_blends("world:clip", tuned, [0.25], str(tmp_path))["0.25"]
    for state in (cfray.clip.load(tuned, alpha=0.25).model.state_dict(), load_clip(place).model.state_dict()):
        for key, value in state.items():
            torch.testing.assert_close(value, original[key] + 0.25)
    whole = cfray.clip.load(tuned).model.state_dict()
    assert all(torch.equal(whole[key], original[key] + 1) for key in whole)


def test_what_cannot_be_blended_is_named(tuned):
    with pytest.raises(UserError, match="'world:clip' has no cfray.json"):
        cfray.clip.load("world:clip", alpha=0.5)
    with pytest.raises(UserError, match="alpha=2 is outside"):
        cfray.clip.load(tuned, alpha=2)
    assert cfray.clip.load("world:clip", alpha=0.5, base="world:clip").model is not None


def test_the_card_has_losses_indexes_and_the_curve_over_alpha(tuned):
    point = {
        "alpha": 0.5, "accuracy": {"imagenet": 0.625},
        "fairness": {"fairface": {"gender": {"maxskew@100": {"uniform": {"value": 0.375}}}}},
    }  # fmt: skip
    card = evaluated_card(tuned, {"result": {"alphas": [point], "recommended_alpha": 0.5}})["README.md"].decode()
    assert evaluated_card("world:clip", {}) == {}
    assert "- losses: beta_clip 1.0, form supcon\n- rehearsal (pairs): `s3://bucket/pairs`, weight 2.0\n" in card
    assert "stay valid: text\n" in card
    assert (
        "| | loss | probe/things |\n| --- | --- | --- |\n| first (step 0) | 3.0000 | 0.8000 |\n| last (step 9) | 1.5000" in card
    )
    assert "| alpha | imagenet | fairface, gender |\n| --- | --- | --- |\n| 0.5 | 0.625 | 0.375 |" in card
    assert "not measured for this card" in (Path(tuned) / "README.md").read_text()
