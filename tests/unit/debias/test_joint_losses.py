"""The losses against the published formulas, written out over every single pair in float64."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cfray.debias.joint_losses import (
    Keys,
    alignment_loss,
    bias_vectors,
    image_cross_entropy,
    mean_image,
    mean_text,
    text_cross_entropy,
)

TAU = 0.07


@pytest.fixture
def setup():
    generator = torch.Generator().manual_seed(0)
    images = F.normalize(torch.randn(9, 6, generator=generator), dim=1)
    captions = F.normalize(torch.randn(4, 6, generator=generator), dim=1)
    caption_of = torch.tensor([0, 1, 2, 0, 1, 2, 0, 0, 3])
    counts = torch.tensor([1.0, 2, 0, 1, 3, 1, 1, 0, 0])
    queries = 0.2 * torch.randn(3, 6, generator=generator)
    every = torch.repeat_interleave(torch.arange(9), counts.long())
    return Keys.of(images, captions, caption_of, counts), images[every], captions[caption_of[every]], queries


def log_softmax(scores):
    scores = scores - scores.max(axis=1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


def as_float64(*tensors):
    return [tensor.double().numpy() for tensor in tensors]


def test_alignment_is_the_divergence_over_all_pairs(setup):
    keys, images, texts, text_bias = setup
    image_bias = text_bias.flip(0) * 0.7
    v, t, b_t, b_v = as_float64(images, texts, text_bias, image_bias)
    log_text, log_image = log_softmax(b_t @ t.T / TAU), log_softmax(b_v @ v.T / TAU)
    expected = (np.exp(log_text) * (log_text - log_image)).sum(axis=1).mean()
    assert alignment_loss(text_bias, image_bias, keys, temperature=TAU, tile=3).item() == pytest.approx(expected, rel=1e-4)


def test_alignment_of_no_bias_is_zero(setup):
    keys, _, _, queries = setup
    assert alignment_loss(0 * queries, 0 * queries, keys, temperature=TAU).item() == pytest.approx(0, abs=1e-5)


def test_alignment_gradient(setup):
    keys, images, texts, queries = setup
    text_bias, image_bias = queries.clone().requires_grad_(), (0.5 * queries).requires_grad_()
    alignment_loss(text_bias, image_bias, keys, temperature=TAU, tile=2).backward()
    plain_text, plain_image = queries.double().requires_grad_(), (0.5 * queries).double().requires_grad_()
    log_text = F.log_softmax(plain_text @ texts.double().T / TAU, dim=1)
    log_image = F.log_softmax(plain_image @ images.double().T / TAU, dim=1)
    F.kl_div(log_image, log_text, log_target=True, reduction="batchmean").backward()
    torch.testing.assert_close(text_bias.grad, plain_text.grad.float(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(image_bias.grad, plain_image.grad.float(), rtol=1e-3, atol=1e-4)


def test_cross_entropies_are_those_over_all_pairs(setup):
    keys, images, texts, queries = setup
    original = queries.roll(1, 0)
    v, t, e, x = as_float64(images, texts, queries, original)
    for features, target, entropy in (
        (t, mean_text(original, keys, temperature=TAU), lambda m: text_cross_entropy(queries, m, keys, temperature=TAU)),
        (v, mean_image(original, keys, temperature=TAU), lambda m: image_cross_entropy(queries, m, keys, temperature=TAU)),
    ):
        expected = -(np.exp(log_softmax(x @ features.T / TAU)) * log_softmax(e @ features.T / TAU)).sum(axis=1)
        np.testing.assert_allclose(entropy(target).numpy(), expected, rtol=1e-4)


def test_bias_vector_by_hand():
    b = bias_vectors(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 2.0]]))
    torch.testing.assert_close(b, torch.tensor([[0.6, -0.2]]))
