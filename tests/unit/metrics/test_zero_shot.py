from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cfray.metrics import able, class_prototypes, top_k_accuracy, true_class_ranks, zero_shot_accuracy


def test_prototype_is_the_normalised_mean_of_normalised_templates():
    # Without the first normalisation the long template would win: (10, 0) + (0, 1) is far from the diagonal.
    prototypes = class_prototypes([np.array([[10.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 3.0]])])
    np.testing.assert_allclose(prototypes, [[math.sqrt(0.5), math.sqrt(0.5)], [0, 1]])


def test_prototypes_agree_with_torch():
    embeddings = torch.tensor(np.random.default_rng(0).normal(size=(5, 8, 16)))
    expected = torch.nn.functional.normalize(torch.nn.functional.normalize(embeddings, dim=-1).mean(dim=1), dim=-1)
    np.testing.assert_allclose(class_prototypes(embeddings), expected.numpy(), atol=1e-12)


def test_top_k_accuracy_and_ties_by_class_index():
    scores = np.array([[0.9, 0.5, 0.1], [0.2, 0.2, 0.2], [0.1, 0.3, 0.2]])
    assert true_class_ranks(scores, [0, 2, 0]).tolist() == [0, 2, 2]
    assert top_k_accuracy(scores, [0, 2, 0], k=1) == pytest.approx(1 / 3)
    assert top_k_accuracy(scores, [1, 1, 2], k=2) == 1
    assert top_k_accuracy(scores, [0, 2, 0], k=3) == 1


def test_accuracy_agrees_with_argmax_and_ignores_length():
    rng = np.random.default_rng(0)
    images, prototypes = rng.normal(size=(200, 16)), class_prototypes(rng.normal(size=(7, 3, 16)))
    labels = rng.integers(7, size=200)
    expected = np.mean((images @ prototypes.T).argmax(axis=1) == labels)
    assert zero_shot_accuracy(images, prototypes, labels) == pytest.approx(expected)
    assert zero_shot_accuracy(images * rng.uniform(1, 9, size=(200, 1)), prototypes, labels) == pytest.approx(expected)
    assert zero_shot_accuracy(images, prototypes, labels, k=7) == 1


@pytest.mark.parametrize(
    ("labels", "k", "message"),
    [
        ([0, 3], 1, "image 1 has class 3; with 3 they run from 0 to 2"),
        ([0, -1], 1, "image 1 has class -1"),
        ([0], 1, r"class indices have shape \(1,\) and dtype int64; give one integer for each image of 2"),
        ([0, 1], 4, "k=4 is larger than the set of classes of 3; lower k"),
    ],
)
def test_bad_labels(labels, k, message):
    with pytest.raises(ValueError, match=message):
        top_k_accuracy(np.zeros((2, 3)), labels, k=k)


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        ([], "template_embeddings hold no class"),
        ([np.ones((2, 4)), np.ones((0, 4))], r"class 1 has template embeddings of shape \(0, 4\)"),
        ([np.zeros((1, 4))], "1 of 1 templates of class 0 are zero or not finite"),
    ],
)
def test_bad_templates(embeddings, message):
    with pytest.raises(ValueError, match=message):
        class_prototypes(embeddings)


@pytest.mark.parametrize(
    ("max_skew", "accuracy", "published"),
    [(0.218, 0.6831, 73.87), (0.103, 0.6800, 77.55), (0.161, 0.6507, 73.78), (0.080, 0.6805, 78.35)],
    ids=["CLIP", "CLIP-clip", "biased prompts", "joint"],
)
def test_able_gives_the_published_scores(max_skew, accuracy, published):
    # Table of arXiv 2411.12785 for ViT-B/16 on FairFace gender; MaxSkew is printed to three digits only.
    assert 100 * able(accuracy, max_skew) == pytest.approx(published, abs=0.03)


def test_able_at_its_ends():
    assert able(1.0, 0.0) == 1
    assert able(0.0, 0.5) == 0
    assert able(0.5, math.log(2)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("accuracy", "max_skew", "message"),
    [
        (68.3, 0.2, "accuracy=68.3 is not a fraction from 0 to 1; divide a percentage by 100"),
        (math.nan, 0.2, "accuracy=nan"),
        (0.5, -0.1, "max_skew=-0.1"),
        (0.5, math.nan, "max_skew=nan"),
        (0.5, math.inf, "max_skew=inf"),
    ],
)
def test_able_bad_input(accuracy, max_skew, message):
    with pytest.raises(ValueError, match=message):
        able(accuracy, max_skew)
