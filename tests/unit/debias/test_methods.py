import pytest
import torch

from cfray.clip.debiased import read_debiaser, save_debiaser
from cfray.clip.debiasers import METHODS
from cfray.debias.config import BiasedPromptsConfig, ClipClipConfig, ClosedFormConfig, GatedForm, JointConfig, PublishedForm
from cfray.debias.methods import fit

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
    save_debiaser(debiaser, str(tmp_path), strength=0.4)
    loaded, strength = read_debiaser(str(tmp_path))
    assert (type(loaded), strength, loaded.weights) == (type(debiaser), 0.4, "planted")
    for strength in (0.3, 1.0):
        assert torch.equal(loaded.image(truth.images, strength), debiaser.image(truth.images, strength))
        assert torch.equal(loaded.text(truth.neutral, strength), debiaser.text(truth.neutral, strength))
