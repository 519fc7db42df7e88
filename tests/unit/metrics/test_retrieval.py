from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfray.metrics import recall_at_k, retrieval_ranks, worst_group_recall


def brute_force_recall(similarity, owner, k):
    n_images, n_captions = similarity.shape
    text_to_image = [owner[c] in sorted(range(n_images), key=lambda i: (-similarity[i, c], i))[:k] for c in range(n_captions)]
    image_to_text = [
        any(owner[c] == i for c in sorted(range(n_captions), key=lambda c: (-similarity[i, c], c))[:k]) for i in range(n_images)
    ]
    return np.mean(text_to_image), np.mean(image_to_text)


@given(st.integers(0, 10_000), st.booleans(), st.data())
def test_agrees_with_sorting_in_both_directions(seed, tied, data):
    rng = np.random.default_rng(seed)
    n_images = int(rng.integers(1, 8))
    owner = rng.permutation(np.r_[np.arange(n_images), rng.integers(n_images, size=rng.integers(0, 12))])
    similarity = (
        rng.integers(0, 3, size=(n_images, len(owner))).astype(float) if tied else rng.normal(size=(n_images, len(owner)))
    )
    k = data.draw(st.integers(1, n_images))
    recall = recall_at_k(similarity, owner, k=k)
    assert (recall.text_to_image, recall.image_to_text) == pytest.approx(brute_force_recall(similarity, owner, k))


def test_any_caption_of_the_image_counts():
    # Image 0 has captions 0 and 2, image 1 has caption 1.
    similarity = np.array([[0.1, 0.5, 0.9], [0.8, 0.4, 0.2]])
    ranks = retrieval_ranks(similarity, np.array([0, 1, 0]))
    assert ranks.image_to_text.tolist() == [0, 1]
    assert ranks.text_to_image.tolist() == [1, 1, 0]
    assert ranks.recall(1).to_dict() == {
        "k": 1, "text_to_image": pytest.approx(1 / 3), "image_to_text": 0.5, "n_images": 2, "n_captions": 3,
    }  # fmt: skip
    assert (ranks.recall(2).text_to_image, ranks.recall(2).image_to_text) == (1, 1)


def test_perfect_and_constant_similarity():
    owner = np.repeat(np.arange(10), 5)
    perfect = recall_at_k(np.eye(10)[:, owner], owner, k=1)
    assert (perfect.text_to_image, perfect.image_to_text) == (1, 1)
    # Ties go to the lower index, so an encoder that tells nothing apart finds image 0 and caption 0 only.
    blind = recall_at_k(np.zeros((10, 50)), owner, k=1)
    assert (blind.text_to_image, blind.image_to_text) == (0.1, 0.1)


@pytest.mark.parametrize(
    ("similarity", "owner", "k", "message"),
    [
        (np.zeros((2, 2)), [0, 1], 3, "k=3 is larger than the gallery of images of 2; lower k"),
        (np.zeros((2, 2)), [0, 1], None, "k is missing"),
        (np.zeros((2, 2)), [0, 0], 1, "1 of 2 images have no caption, first image 1"),
        (np.zeros((2, 2)), [0, 2], 1, "caption 1 has image 2; with 2 they run from 0 to 1"),
        (
            np.zeros((2, 3)),
            [0, 1],
            1,
            r"image indices have shape \(2,\) and dtype int64; give one integer for each caption of 3",
        ),
        (np.full((2, 2), np.nan), [0, 1], 1, "scores hold 4 NaN of 4, first at image 0, caption 0"),
        (np.zeros((0, 2)), [0, 1], 1, "that is no image"),
    ],
)
def test_bad_input(similarity, owner, k, message):
    with pytest.raises(ValueError, match=message):
        recall_at_k(similarity, owner, k=k)


def test_worst_group_recall_by_hand():
    # Two scenes with a caption each; per scene two images of each group. R: scene 0 1.0 / 0.5, scene 1 0.5 / 1.0.
    scenes, groups = [0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 0, 0, 1, 1]
    chosen = np.array([0, 0, 0, 1, 1, 0, 1, 1])
    result = worst_group_recall(np.eye(2)[chosen], scenes, [0, 1], groups)
    np.testing.assert_allclose(result.recall, [[1.0, 0.5], [0.5, 1.0]])
    assert result.to_dict() == {"mean_of_min": 0.5, "min_of_mean": 0.75, "empty_cells": 0}


def test_scenes_may_have_several_captions_and_cells_may_be_empty():
    # Captions 0 and 2 are of scene 7, caption 1 of scene 3, caption 3 of a scene without images.
    chosen = np.array([2, 0, 1, 3])
    result = worst_group_recall(np.eye(4)[chosen], [7, 7, 3, 3], [7, 3, 7, 5], [0, 1, 0, 0])
    assert result.scenes.tolist() == [3, 7]
    np.testing.assert_allclose(result.recall, [[0.5, np.nan], [1.0, 1.0]])
    assert result.to_dict() == {"mean_of_min": 0.75, "min_of_mean": 0.75, "empty_cells": 1}


@given(st.integers(0, 10_000))
def test_mean_of_min_is_never_above_min_of_mean(seed):
    rng = np.random.default_rng(seed)
    scenes, groups = np.repeat(np.arange(4), 12), np.tile(np.arange(3), 16)
    result = worst_group_recall(rng.normal(size=(48, 4)), scenes, np.arange(4), groups)
    assert 0 <= result.mean_of_min <= result.min_of_mean + 1e-12


@pytest.mark.parametrize(
    ("image_scenes", "caption_scenes", "groups", "message"),
    [
        ([0, 1, 1], [0, 1], [0, 1], "have 3, 2 and 2 entries for scores of 3 images and 2 captions"),
        ([0, 1, 2], [0, 1], [0, 1, 0], "1 of 3 scenes have no caption, first scene 2"),
        ([0, 1, 1], [0, 1], [0, 0, 0], "one group only"),
    ],
)
def test_worst_group_recall_bad_input(image_scenes, caption_scenes, groups, message):
    with pytest.raises(ValueError, match=message):
        worst_group_recall(np.zeros((3, 2)), image_scenes, caption_scenes, groups)
