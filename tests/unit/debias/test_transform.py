import json

import pytest
import torch
from torch.nn import functional as F

from cfray.clip.blend import blend
from cfray.clip.embed import embed_images, embed_texts
from cfray.debias.cache import weights_hash
from cfray.debias.config import BiasedPromptsConfig, ClipClipConfig, ClosedFormConfig, GatedForm, JointConfig, PublishedForm
from cfray.debias.joint import GatedJoint
from cfray.debias.methods import METHODS, fit, load_debiaser
from cfray.debias.transform import debias_clip
from cfray.errors import UserError

CONFIGS = [
    JointConfig(gated=GatedForm(steps=3)),
    JointConfig(form="published", published=PublishedForm(epochs=1, batch=64, hidden=8, hidden_image=8)),
    ClipClipConfig(),
    BiasedPromptsConfig(),
    ClosedFormConfig(),
]


@pytest.fixture(params=CONFIGS, ids=[getattr(c, "form", c.kind) for c in CONFIGS])
def debiaser(request, truth):
    return fit(truth.data, request.param)


def test_every_method_has_a_configuration(truth):
    assert {fit(truth.data, config).method for config in CONFIGS} == set(METHODS)


def test_strength(debiaser, truth):
    for transform, x in ((debiaser.image, truth.images), (debiaser.text, truth.neutral)):
        assert torch.equal(transform(x, 0), x)
        full = transform(x, 1.0)
        torch.testing.assert_close(transform(x, 0.25), 0.75 * x + 0.25 * full)
    assert not torch.equal(debiaser.text(truth.neutral), truth.neutral)
    for strength in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="is outside"):
            debiaser.text(truth.neutral, strength)


def test_dtype_is_kept(debiaser, truth):
    assert debiaser.text(truth.neutral.half(), 0.5).dtype == torch.float16


def test_round_trip(debiaser, truth, tmp_path):
    debiaser.save(str(tmp_path))
    loaded = load_debiaser(str(tmp_path))
    assert type(loaded) is type(debiaser)
    assert loaded.weights == "planted"
    for strength in (0.3, 1.0):
        assert torch.equal(loaded.image(truth.images, strength), debiaser.image(truth.images, strength))
        assert torch.equal(loaded.text(truth.neutral, strength), debiaser.text(truth.neutral, strength))


def test_loading_names_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match=r"there is no debias\.json"):
        load_debiaser(str(tmp_path))
    GatedJoint("w", dim=4, attributes=1, rank=2).save(str(tmp_path))
    file = tmp_path / "debias.json"
    data = json.loads(file.read_text())
    file.write_text(json.dumps(data | {"settings": {"dim": 4, "attributes": 1, "rank": 3}}))
    with pytest.raises(UserError, match="does not fit its settings"):
        load_debiaser(str(tmp_path))
    file.write_text(json.dumps(data | {"method": "wish"}))
    with pytest.raises(UserError, match="method 'wish'; known are joint, joint_published"):
        load_debiaser(str(tmp_path))


def joint_for(clip, seed=0):
    torch.manual_seed(seed)
    debiaser = GatedJoint(weights_hash(clip.model), dim=4, attributes=1, rank=2)
    torch.nn.init.normal_(debiaser.write)
    return debiaser


def test_a_debiased_clip_is_a_clip(tiny_clip):
    debiaser = joint_for(tiny_clip)
    texts, images = ["a nurse", "an old miner"], torch.rand(3, 3, 8, 8)
    debiased = debias_clip(tiny_clip, debiaser, 0.5)
    raw = tiny_clip.model.encode_text(tiny_clip.tokenize(texts)).detach()
    torch.testing.assert_close(embed_texts(debiased, texts), F.normalize(debiaser.text(raw, 0.5)).detach())
    torch.testing.assert_close(embed_images(debiased, images), embed_images(tiny_clip, images))
    image, text, scale = debiased.model(images, tiny_clip.tokenize(texts))
    torch.testing.assert_close(text.detach(), embed_texts(debiased, texts))
    assert scale == tiny_clip.model.logit_scale.exp()
    assert torch.equal(embed_texts(debias_clip(tiny_clip, debiaser, 0), texts), embed_texts(tiny_clip, texts))


def test_strengths_are_different_models(tiny_clip):
    debiaser = joint_for(tiny_clip)
    hashes = {weights_hash(debias_clip(tiny_clip, debiaser, strength).model) for strength in (0, 0.5, 1)}
    assert len(hashes) == 3


def test_other_weights_are_refused(tiny_clip):
    debiaser = joint_for(tiny_clip)
    tuned = {key: value + 0.1 for key, value in tiny_clip.model.state_dict().items()}
    tiny_clip.model.load_state_dict(blend(tiny_clip.model.state_dict(), tuned, 0.5))
    with pytest.raises(UserError, match=f"fitted on a model with hash {debiaser.weights}, this one has"):
        debias_clip(tiny_clip, debiaser)
    assert embed_texts(debias_clip(tiny_clip, debiaser, other_weights=True), ["a nurse"]).shape == (1, 4)
    with pytest.raises(ValueError, match="strength=2"):
        debias_clip(tiny_clip, debiaser, 2, other_weights=True)


def test_hash_is_of_values_not_of_dtypes(tiny_clip):
    before = weights_hash(tiny_clip.model)
    assert weights_hash(tiny_clip.model.double()) == before
    with torch.no_grad():
        tiny_clip.model.visual.weight[0, 0] += 1e-3
    assert weights_hash(tiny_clip.model) != before
