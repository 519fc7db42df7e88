import numpy as np
import pytest

from cfray.metrics import mutual_information, vendi_score


def test_vendi_score_counts_items_at_right_angles():
    assert vendi_score(np.eye(4)) == pytest.approx(4)
    assert vendi_score(np.ones((5, 3))) == pytest.approx(1)
    assert vendi_score(np.repeat(np.eye(2), 3, axis=0)) == pytest.approx(2)


def test_vendi_score_by_hand():
    # Two items with cosine c: eigenvalues (1 + c) / 2 and (1 - c) / 2.
    c = 0.6
    high, low = (1 + c) / 2, (1 - c) / 2
    expected = np.exp(-(high * np.log(high) + low * np.log(low)))
    assert vendi_score([[2.0, 0.0], [c, np.sqrt(1 - c * c)]]) == pytest.approx(expected)


def test_vendi_score_is_the_same_by_either_matrix():
    rows = np.random.default_rng(0).normal(size=(12, 5))
    cosines = rows @ rows.T / np.outer(np.linalg.norm(rows, axis=1), np.linalg.norm(rows, axis=1))
    values = np.linalg.eigvalsh(cosines / 12)
    values = values[values > 1e-12]
    assert vendi_score(rows) == pytest.approx(np.exp(-(values * np.log(values)).sum()))


@pytest.mark.parametrize("rows", [np.zeros((0, 3)), [[1.0, 0.0], [0.0, 0.0]], [[np.nan, 1.0]], [1.0, 2.0]])
def test_vendi_score_refuses(rows):
    with pytest.raises(ValueError):
        vendi_score(rows)


def test_information_of_equal_and_of_unrelated_labels():
    equal = mutual_information(["a", "a", "b", "b"], ["x", "x", "y", "y"])
    assert equal.value == pytest.approx(np.log(2))
    assert equal.entropy == pytest.approx(np.log(2))
    assert mutual_information(["a", "a", "b", "b"], ["x", "y", "x", "y"]).value == pytest.approx(0, abs=1e-12)


def test_information_by_hand():
    # p(a, b): 3/8 1/8 over 1/8 3/8
    told = mutual_information(list("aaaabbbb"), list("xxxyxyyy"))
    expected = 2 * (3 / 8 * np.log(3 / 8 / (1 / 4)) + 1 / 8 * np.log(1 / 8 / (1 / 4)))
    assert told.value == pytest.approx(expected)


def test_the_floor_is_what_chance_shows():
    rng = np.random.default_rng(1)
    unrelated = mutual_information(rng.integers(0, 10, 200), rng.integers(0, 6, 200))
    # Miller and Madow: about (rows - 1)(columns - 1) / 2n
    assert unrelated.floor == pytest.approx(9 * 5 / 400, rel=0.2)
    assert unrelated.value == pytest.approx(unrelated.floor, rel=0.5)


def test_information_refuses_labels_of_other_numbers():
    with pytest.raises(ValueError, match="2 labels a and 1 labels b"):
        mutual_information(["a", "b"], ["x"])
