"""A debiased CLIP as a model: it encodes, saves, loads, blends over strengths, and stands behind other weights if told so."""

import json

import open_clip
import pytest
import torch
from torch.nn import functional as F

from cfray.clip.blend import blend
from cfray.clip.debiased import read_debiaser, save_debiaser, weights_hash
from cfray.clip.debiasers import GatedJoint
from cfray.clip.embed import embed_images, embed_texts
from cfray.clip.model import debias_clip, load_clip, save_clip
from cfray.clip.pair import load_blend, load_pair
from cfray.config import build_config
from cfray.errors import UserError
from cfray.evaluate.config import ComparedModel
from cfray.evaluate.models import load_compared

TEXTS = ["a photo of a nurse", "an old miner"]


@pytest.fixture(scope="module")
def clip():
    return load_clip("world:clip")


@pytest.fixture(scope="module")
def debiaser(clip):
    torch.manual_seed(0)
    debiaser = GatedJoint(weights_hash(clip.model.state_dict()), dim=128, attributes=1, rank=2)
    torch.nn.init.normal_(debiaser.write)
    return debiaser.eval()


@pytest.fixture(scope="module")
def place(clip, debiaser, tmp_path_factory):
    """A folder with a debiased model at strength 0.5."""
    place = str(tmp_path_factory.mktemp("debiased"))
    debiased = debias_clip(clip, debiaser, 0.5)
    save_clip(debiased, "world:clip", debiased.model.state_dict(), place)
    return place


@pytest.fixture(scope="module")
def tuned(clip, tmp_path_factory):
    place = str(tmp_path_factory.mktemp("tuned"))
    state = {key: value * 1.05 if value.ndim > 1 else value for key, value in clip.model.state_dict().items()}
    save_clip(clip, "world:clip", state, place)
    return place


def test_a_debiased_clip_is_a_clip(clip, debiaser):
    images = torch.rand(3, 3, 64, 64)
    debiased, ids = debias_clip(clip, debiaser, 0.5), clip.tokenize(TEXTS)
    raw = clip.model.encode_text(ids).detach()
    torch.testing.assert_close(embed_texts(debiased, TEXTS), F.normalize(debiaser.text(raw, 0.5), dim=-1).detach())
    torch.testing.assert_close(embed_images(debiased, images), embed_images(clip, images))
    _, text, scale = debiased.model(images, ids)
    torch.testing.assert_close(text.detach(), embed_texts(debiased, TEXTS))
    assert scale == clip.model.logit_scale.exp()
    assert torch.equal(embed_texts(debias_clip(clip, debiaser, 0), TEXTS), embed_texts(clip, TEXTS))


def test_it_loads_with_the_strength_it_was_saved_with_or_another(clip, debiaser, place):
    for strength, given in ((0.5, None), (1.0, 1.0), (0.0, 0.0)):
        expected = embed_texts(debias_clip(clip, debiaser, strength), TEXTS)
        assert torch.equal(embed_texts(load_clip(place, strength=given), TEXTS), expected)
    with pytest.raises(UserError, match="'world:clip' is not debiased, so it has no strength"):
        load_clip("world:clip", strength=0.5)


def test_open_clip_reads_the_clip_in_the_folder(clip, place):
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{place}")
    assert weights_hash(model.state_dict()) == weights_hash(clip.model.state_dict())


def test_alpha_between_a_clip_and_its_debiased_model_is_strength(clip, debiaser, place, tmp_path):
    pair = load_pair("world:clip", place)
    for alpha in (0.0, 0.3, 1.0):
        pair.clip.model.load_state_dict(pair.at(alpha))
        expected = embed_texts(debias_clip(clip, debiaser, 0.5 * alpha), TEXTS)
        torch.testing.assert_close(embed_texts(pair.clip, TEXTS), expected, atol=1e-6, rtol=1e-5)
    save_clip(pair.clip, "world:clip", pair.at(0.3), str(tmp_path))
    assert torch.equal(embed_texts(load_clip(str(tmp_path)), TEXTS), embed_texts(load_blend("world:clip", place, 0.3), TEXTS))


def test_only_the_clip_it_was_fitted_on_and_its_debiased_model_are_a_pair(place, tuned):
    with pytest.raises(UserError, match=f"'{tuned}' is not the CLIP that '{place}' was fitted on: .* fitted on a model with"):
        load_pair(tuned, place)
    with pytest.raises(UserError, match="is debiased already"):
        load_pair(place, tuned)


def test_strengths_are_different_models(clip, debiaser):
    assert len({weights_hash(debias_clip(clip, debiaser, s).model.state_dict()) for s in (0, 0.5, 1)}) == 3


def test_other_weights_need_to_be_meant(clip, debiaser, place, tuned):
    with pytest.raises(UserError, match=f"fitted on a model with hash {debiaser.weights}, this one has"):
        debias_clip(load_clip(tuned), debiaser)
    row = {"model": "world:clip", "tuned": tuned, "alpha": 0.3, "debiaser": place, "strength": 0.7}
    with pytest.raises(UserError, match="models.row: .* fitted on a model with hash"):
        load_compared("row", build_config(ComparedModel, row))
    stacked = load_compared("row", build_config(ComparedModel, row | {"other_weights": True}))
    below = load_blend("world:clip", tuned, 0.3)
    expected = embed_texts(debias_clip(below, debiaser, 0.7, other_weights=True), TEXTS)
    assert torch.equal(embed_texts(stacked, TEXTS), expected)
    with pytest.raises(UserError, match="already"):
        debias_clip(debias_clip(clip, debiaser), debiaser)
    with pytest.raises(ValueError, match="strength=2"):
        debias_clip(clip, debiaser, 2)


def test_a_row_of_a_comparison_can_change_the_strength(clip, debiaser, place):
    for changes in ({"model": place}, {"model": "world:clip", "debiaser": place}):
        row = load_compared("row", build_config(ComparedModel, changes | {"strength": 0.25}))
        assert torch.equal(embed_texts(row, TEXTS), embed_texts(debias_clip(clip, debiaser, 0.25), TEXTS))
        assert float(load_compared("row", build_config(ComparedModel, changes)).model.strength) == 0.5
    with pytest.raises(UserError, match="a blend has no strength; name its debiaser"):
        build_config(ComparedModel, {"model": "a", "tuned": "b", "alpha": 0.5, "strength": 0.5})


def test_equal_weights_blend_bit_for_bit(clip):
    state = clip.model.state_dict()
    blended = blend(state, {key: value.clone() for key, value in state.items()}, 0.3)
    assert all(torch.equal(blended[key], state[key]) for key in state)


def test_loading_names_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match=r"there is no debias\.json"):
        read_debiaser(str(tmp_path))
    save_debiaser(GatedJoint("w", dim=4, attributes=1, rank=2), str(tmp_path))
    file = tmp_path / "debias.json"
    data = json.loads(file.read_text())
    for change, message in (
        ({"settings": {"dim": 4, "attributes": 1, "rank": 3}}, "does not fit its settings"),
        ({"strength": 2}, r"strength=2 is outside \[0, 1\]"),
        ({"method": "wish"}, "method 'wish'; known are joint, joint_published"),
    ):
        file.write_text(json.dumps(data | change))
        with pytest.raises(UserError, match=message):
            read_debiaser(str(tmp_path))


def test_hash_is_of_values_not_of_dtypes(clip):
    state = clip.model.state_dict()
    before = weights_hash(state)
    assert weights_hash({key: v.double() if v.is_floating_point() else v for key, v in state.items()}) == before
    key = "logit_scale"
    assert weights_hash(state | {key: state[key] + 1e-3}) != before
