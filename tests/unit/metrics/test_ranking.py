from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cfray.metrics import normalise, rank_top_k, similarity
from cfray.metrics.ranking import as_array, rank_of


def full_sort(scores, k):
    return np.argsort(-np.asarray(scores, dtype=np.float64), axis=1, kind="stable")[:, :k]


@given(
    arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 30)), elements=st.sampled_from([-1.0, -0.0, 0.0, 0.5, 2.0])),
    st.data(),
)
def test_top_k_is_a_full_sort_with_ties_by_index(scores, data):
    k = data.draw(st.integers(1, scores.shape[1]))
    np.testing.assert_array_equal(rank_top_k(scores, k=k), full_sort(scores, k))


@pytest.mark.parametrize("k", [1, 10, 700, 4999, 5000])
def test_top_k_of_large_galleries(k):
    rng = np.random.default_rng(0)
    smooth, tied = rng.normal(size=(3, 5000)), rng.integers(0, 6, size=(3, 5000)).astype(np.float32)
    # Every 32nd item is far better or far worse than the rest, the worst case for an estimate from every 32nd item.
    striped = smooth + np.where(np.arange(5000) % 32 == 0, np.array([[50.0], [-50.0], [0.0]]), 0)
    for scores in (smooth, tied, striped, np.zeros((2, 5000))):
        np.testing.assert_array_equal(rank_top_k(scores, k=k), full_sort(scores, k))


def test_infinite_scores_rank_and_integers_are_taken():
    assert rank_top_k([[1.0, -np.inf, np.inf]], k=3).tolist() == [[2, 0, 1]]
    assert rank_top_k(np.array([[3, 9, 9, 1]], dtype=np.uint8), k=3).tolist() == [[1, 2, 0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_torch_tensors_of_every_precision(dtype):
    scores = torch.tensor([[0.25, 1.5, -2.0]], dtype=dtype, requires_grad=True)
    assert as_array(scores).tolist() == [[0.25, 1.5, -2.0]]
    assert rank_top_k(scores, k=2).tolist() == [[1, 0]]


def test_rank_of_counts_better_items_and_earlier_ties():
    scores = np.array([[0.1, 0.9, 0.9, 0.5], [1.0, 1.0, 1.0, 1.0]])
    assert rank_of(scores, np.array([2, 3])).tolist() == [1, 3]
    assert rank_of(scores, np.array([1, 0])).tolist() == [0, 0]
    assert rank_of(scores, np.array([0, 1])).tolist() == [3, 1]


def test_similarity_is_the_cosine_unless_told_otherwise():
    queries, gallery = np.array([[2.0, 0.0]]), np.array([[3.0, 4.0], [0.5, 0.0]])
    np.testing.assert_allclose(similarity(queries, gallery), [[0.6, 1.0]])
    np.testing.assert_allclose(similarity(queries, gallery, normalize=False), [[6.0, 1.0]])


def test_normalise_keeps_float64_and_refuses_what_has_no_direction():
    assert normalise(np.ones((2, 3))).dtype == np.float64
    assert normalise(torch.ones(2, 3, dtype=torch.bfloat16)).dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(normalise(np.arange(1.0, 7.0).reshape(2, 3)), axis=1), 1)
    with pytest.raises(ValueError, match="2 of 3 gallery items are zero or not finite, first at 1; leave them out"):
        similarity(np.ones((1, 2)), np.array([[1.0, 1.0], [0.0, 0.0], [np.nan, 1.0]]))


@pytest.mark.parametrize(
    ("scores", "k", "message"),
    [
        (np.zeros((0, 10)), 1, r"scores have shape \(0, 10\), that is no query; give at least one"),
        (np.zeros((2, 0)), 1, r"scores have shape \(2, 0\), that is no image"),
        (np.zeros(10), 1, r"scores have shape \(10,\); give one row per query"),
        (np.array([[0, 1], [np.nan, np.nan]]), 1, "scores hold 2 NaN of 4, first at query 1, image 0"),
        (np.zeros((2, 10)), 11, "k=11 is larger than the gallery of 10; lower k"),
    ],
)
def test_bad_scores_are_one_line_errors(scores, k, message):
    with pytest.raises(ValueError, match=message) as error:
        rank_top_k(scores, k=k)
    assert "\n" not in str(error.value)


def test_dimensions_must_agree():
    with pytest.raises(ValueError, match=r"queries \(1, 3\) and gallery \(4, 2\)"):
        similarity(np.ones((1, 3)), np.ones((4, 2)))
