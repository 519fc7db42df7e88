import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cfray.debias.clip_clip import fit_clip_clip


def test_drops_the_planted_dimension_first(truth):
    debiaser = fit_clip_clip(truth.data, kept=23)
    assert debiaser.mask.tolist() == [0.0 if i == 20 else 1.0 for i in range(24)]


def test_keeps_the_published_share(truth):
    assert fit_clip_clip(truth.data).mask.sum() == round(24 * 400 / 512)


def test_dropping_is_leaving_out(truth):
    debiaser = fit_clip_clip(truth.data, kept=10)
    kept = debiaser.mask.bool()
    images, texts = debiaser.image(truth.images), debiaser.text(truth.texts)
    torch.testing.assert_close(images @ texts.T, truth.images[:, kept] @ truth.texts[:, kept].T)


def test_information_of_attributes_adds_up(truth):
    # A second attribute on another dimension: both go before any dimension of content.
    truth.data.labels["age"] = (truth.data.images[:, 3] > 0).long()
    debiaser = fit_clip_clip(truth.data, kept=22)
    assert np.flatnonzero(debiaser.mask.numpy() == 0).tolist() == [3, 20]


def test_normalised_embeddings_are_what_is_measured(truth):
    scaled = truth.data.subset(torch.arange(len(truth.data.images)))
    scaled.images = scaled.images * torch.rand(len(scaled.images), 1).exp()
    torch.testing.assert_close(F.normalize(scaled.images), F.normalize(truth.data.images))
    assert torch.equal(fit_clip_clip(scaled, kept=12).mask, fit_clip_clip(truth.data, kept=12).mask)


@pytest.mark.parametrize("kept", [0, 25])
def test_kept_must_be_dimensions(truth, kept):
    with pytest.raises(ValueError, match=f"kept={kept} is not between 1 and the 24"):
        fit_clip_clip(truth.data, kept=kept)
