"""Groups from embeddings whose true groups are planted."""

from __future__ import annotations

import numpy as np
import pytest

from cfray.errors import UserError
from cfray.groups import PromptGroups, combine_groups, infer_groups, similarity_vectors, wording_sensitivity
from cfray.metrics import classifier_fairness, group_agreement

VALUES = ("woman", "man")
DIM = 12


def planted(shares=(0.5, 0.5), *, n=400, lean=0.0, seed=0):
    """Images of one shared direction, their group's axis and noise; prompts of three wordings on the same axes.

    ``lean`` moves all images towards the first value, as a CLIP that likes one prompt better does.
    """
    rng = np.random.default_rng(seed)
    true = rng.permutation(np.repeat(np.arange(len(shares)), np.round(np.array(shares) * n).astype(int)))
    axes = np.eye(DIM)[: len(shares)]
    shared = np.eye(DIM)[-1]
    images = shared + 0.3 * axes[true] + lean * axes[0] + 0.03 * rng.normal(size=(len(true), DIM))
    prompts = 0.5 * shared + axes[:, None] + 0.05 * rng.normal(size=(len(shares), 3, DIM))
    return images.astype(np.float32), prompts, true


@pytest.mark.parametrize("method", ["argmax", "kmeans", "gmm"])
def test_every_method_finds_planted_groups_in_the_order_of_the_values(method):
    images, prompts, true = planted((0.8, 0.2))
    found = infer_groups(images, prompts, VALUES, method=method)
    assert np.mean(found.groups == true) > 0.98
    assert found.names == VALUES
    assert found.sizes == {"woman": int((found.groups == 0).sum()), "man": int((found.groups == 1).sum())}
    assert found.relevancy.sum(axis=1) == pytest.approx(np.ones(len(true)))
    assert group_agreement(found.groups, true).minority_recall > 0.95


def test_clusters_do_not_mind_a_prompt_that_all_images_like():
    images, prompts, true = planted(lean=0.5)
    assert np.mean(infer_groups(images, prompts, VALUES, method="kmeans").groups == true) > 0.98
    with pytest.raises(UserError, match="all 400 samples are in one group, 'woman', by argmax"):
        infer_groups(images, prompts, VALUES)


@pytest.mark.parametrize("method", ["argmax", "kmeans", "gmm"])
def test_fitted_groups_are_inferred_for_other_images(method):
    images, prompts, true = planted((0.8, 0.2))
    fitted = PromptGroups(images[:300], prompts, VALUES, method=method)
    assert np.mean(fitted.infer(images[300:]).groups == true[300:]) > 0.97
    assert len(fitted.infer(images[300:301]).groups) == 1


def test_confidence_is_higher_where_groups_are_right():
    rng = np.random.default_rng(1)
    images, prompts, true = planted()
    found = infer_groups(images + 0.15 * rng.normal(size=images.shape), prompts, VALUES, temperature=0.05)
    right = found.groups == true
    assert 0.6 < right.mean() < 0.98
    assert found.confidence[right].mean() > found.confidence[~right].mean() + 0.05
    assert found.confidence.min() >= 0.5


def test_bic_finds_more_groups_than_values_and_names_them_by_value():
    images, prompts, true = planted((0.4, 0.3, 0.3))
    found = infer_groups(images, prompts[:2], VALUES, method="gmm")
    assert len(found.names) == 3
    assert group_agreement(found.groups, true).accuracy > 0.97
    assert {name.split()[0] for name in found.names} == set(VALUES)
    assert len(set(found.names)) == 3


def test_a_given_number_of_clusters_is_kept():
    images, prompts, _ = planted((0.4, 0.3, 0.3))
    found = infer_groups(images, prompts, ("a", "b", "c"), method="kmeans", n_groups=2)
    assert len(found.names) == 2


def test_torch_tensors_and_arrays_give_the_same():
    torch = pytest.importorskip("torch")
    images, prompts, _ = planted()
    from_torch = infer_groups(torch.from_numpy(images), torch.from_numpy(prompts), VALUES)
    np.testing.assert_array_equal(from_torch.groups, infer_groups(images, prompts, VALUES).groups)


def test_groups_of_two_attributes():
    images, prompts, true = planted((0.25, 0.25, 0.25, 0.25))
    first = infer_groups(images, prompts[[0, 2]], ("a", "b"), method="kmeans")
    second = infer_groups(images, prompts, ("w", "x", "y", "z"))
    both = combine_groups(first, second)
    assert set(both.names) <= {f"{a}, {b}" for a in "ab" for b in "wxyz"}
    assert both.sizes[both.names[0]] > 0
    assert both.relevancy.sum(axis=1) == pytest.approx(np.ones(len(true)))
    for name, group in zip(both.names, range(len(both.names)), strict=True):
        members = both.groups == group
        assert {first.names[i] for i in first.groups[members]} == {name.split(", ")[0]}


def test_groups_go_into_fairness_metrics():
    images, prompts, true = planted((0.7, 0.3))
    found = infer_groups(images, prompts, VALUES)
    labels = np.arange(len(true)) % 2
    predictions = np.where(true == 1, 0, labels)
    assert classifier_fairness(predictions, labels, found.groups).worst_group_accuracy == pytest.approx(0.5, abs=0.06)


def test_similarity_by_hand():
    similarities = similarity_vectors([[2.0, 0.0], [3.0, 4.0]], [[[1.0, 0.0]], [[0.0, 5.0]]])
    np.testing.assert_allclose(similarities, [[1, 0], [0.6, 0.8]], atol=1e-6)


def test_a_wording_of_another_meaning_is_found():
    images, prompts, _ = planted()
    same = wording_sensitivity(images, prompts, VALUES)
    assert same.agreement.min() > 0.98
    swapped = prompts.copy()
    swapped[:, 1] = swapped[::-1, 1]
    found = wording_sensitivity(images, swapped, VALUES)
    assert found.worst == 1
    assert found.agreement[1] < 0.1
    assert found.to_dict()["least"] == found.agreement[1]


def test_a_wording_that_tells_nothing_apart_is_counted():
    images, prompts, _ = planted()
    prompts[1, 2] = np.eye(DIM)[5]
    assert wording_sensitivity(images, prompts, VALUES).without_groups == (2,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": np.ones((1, 3, DIM))}, "the prompts name 1 value"),
        ({"prompts": np.ones((2, 3, 5))}, "with one d"),
        ({"values": ("a", "b", "c")}, "3 names for prompts of 2 values"),
        ({"n_groups": 3}, "does not go with argmax"),
        ({"method": "kmeans", "n_groups": 1}, "n_groups=1 is not between 2 and"),
        ({"method": "gmm", "n_groups": 401}, "n_groups=401 is not between 2 and the number of samples, 400"),
    ],
)
def test_bad_input(change, message):
    images, prompts, _ = planted()
    with pytest.raises(UserError, match=message):
        infer_groups(**({"images": images, "prompts": prompts, "values": VALUES} | change))
