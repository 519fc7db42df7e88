from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfray.metrics import bias_at_k, max_skew, min_skew


def gallery(*top: int, members: int = 10) -> list[int]:
    """A ranking whose top has ``top[a]`` members of group a, over a gallery of ``members`` of each."""
    head = [group for group, count in enumerate(top) for _ in range(count)]
    return head + [group for group, count in enumerate(top) for _ in range(members - count)]


@st.composite
def rankings(draw):
    """(ranked groups, k) with 2 to 5 groups, each with a member."""
    n_groups = draw(st.integers(2, 5))
    rest = draw(st.lists(st.integers(0, n_groups - 1), max_size=40))
    ranked = draw(st.permutations([*range(n_groups), *rest]))
    return np.array(ranked), draw(st.integers(1, len(ranked)))


def brute_force_skews(ranked, k, target, absent):
    n_groups = max(ranked) + 1
    skews = []
    for group in range(n_groups):
        members = sum(1 for g in ranked[:k] if g == group)
        share = (members + 1) / (k + n_groups) if absent == "laplace" else (members or 1) / k
        goal = {"uniform": 1 / n_groups, "pool": sum(1 for g in ranked if g == group) / len(ranked)}[target]
        skews.append(math.log(share / goal))
    return skews


def test_hand_checked_shares():
    ranked = gallery(6, 3, 1)
    assert max_skew(ranked, k=10) == pytest.approx(math.log(1.8))
    assert max_skew(ranked, k=10) == pytest.approx(0.5878, abs=5e-5)
    assert min_skew(ranked, k=10) == pytest.approx(-1.2040, abs=5e-5)


def test_absent_group_counts_as_one_by_default():
    ranked = gallery(6, 4, 0)
    assert min_skew(ranked, k=10) == pytest.approx(math.log(0.3))
    assert min_skew(ranked, k=10, absent="one") == pytest.approx(-1.2040, abs=5e-5)
    assert max_skew(ranked, k=10) == pytest.approx(math.log(1.8))


def test_absent_group_under_laplace_and_error():
    ranked = gallery(6, 4, 0)
    assert min_skew(ranked, k=10, absent="laplace") == pytest.approx(math.log((1 / 13) * 3))
    assert max_skew(ranked, k=10, absent="laplace") == pytest.approx(math.log((7 / 13) * 3))
    for metric in (max_skew, min_skew):
        with pytest.raises(ValueError, match="group 2 is absent from the top 10; raise k or use absent='one'"):
            metric(ranked, k=10, absent="error")
    assert min_skew(gallery(6, 3, 1), k=10, absent="error") == pytest.approx(math.log(0.3))


def test_pool_target_is_the_share_of_the_whole_gallery():
    ranked = [0, 0, 1, 0] + [1] * 12
    assert max_skew(ranked, k=4, target="pool") == pytest.approx(math.log(0.75 / (3 / 16)))
    assert min_skew(ranked, k=4, target="pool") == pytest.approx(math.log(0.25 / (13 / 16)))


def test_given_target():
    ranked = gallery(6, 3, 1)
    assert max_skew(ranked, k=10, target=[0.6, 0.3, 0.1]) == pytest.approx(0, abs=1e-12)
    assert max_skew(ranked, k=10, target=[0.2, 0.3, 0.5]) == pytest.approx(math.log(3))
    assert min_skew(ranked, k=10, target=np.array([0.2, 0.3, 0.5])) == pytest.approx(math.log(0.2))


@pytest.mark.parametrize("n_groups", [2, 3, 7])
def test_closed_forms(n_groups):
    ranked = gallery(*[20, *[0] * (n_groups - 1)], members=20)
    assert max_skew(ranked, k=20) == pytest.approx(math.log(n_groups))
    assert min_skew(ranked, k=20) == pytest.approx(math.log(n_groups / 20))
    balanced = np.arange(10 * n_groups) % n_groups
    assert max_skew(balanced, k=5 * n_groups) == pytest.approx(0, abs=1e-12)
    assert min_skew(balanced, k=5 * n_groups) == pytest.approx(0, abs=1e-12)


@given(rankings(), st.sampled_from(["uniform", "pool"]), st.sampled_from(["one", "laplace"]))
def test_agrees_with_the_formula_written_out(case, target, absent):
    ranked, k = case
    skews = brute_force_skews(ranked.tolist(), k, target, absent)
    assert max_skew(ranked, k=k, target=target, absent=absent) == pytest.approx(max(skews), abs=1e-12)
    assert min_skew(ranked, k=k, target=target, absent=absent) == pytest.approx(min(skews), abs=1e-12)


@given(rankings(), st.sampled_from(["uniform", "pool"]), st.data())
def test_invariant_to_labels_and_to_order_within_the_top(case, target, data):
    ranked, k = case
    labels = np.array(data.draw(st.permutations(range(int(ranked.max()) + 1))))
    order = [*data.draw(st.permutations(range(k))), *range(k, len(ranked))]
    for metric in (max_skew, min_skew):
        value = metric(ranked, k=k, target=target)
        assert metric(labels[ranked], k=k, target=target) == pytest.approx(value, abs=1e-12)
        assert metric(ranked[order], k=k, target=target) == pytest.approx(value, abs=1e-12)


@given(rankings())
def test_the_whole_gallery_says_nothing_about_the_ranking(case):
    ranked, _ = case
    n = len(ranked)
    assert max_skew(ranked, k=n, target="pool") == pytest.approx(0, abs=1e-12)
    assert max_skew(ranked, k=n) == pytest.approx(max_skew(np.sort(ranked), k=n), abs=1e-12)


@pytest.mark.parametrize(
    ("ranked", "options", "message"),
    [
        ([0, 1] * 500, {"k": 1200}, "k=1200 is larger than the gallery of 1000; lower k"),
        ([0, 1], {"k": None}, "k is missing; give a k from 1 to 2"),
        ([0, 1], {"k": 0}, "k=0 is below 1"),
        ([0, 1], {"k": 1.5}, "k=1.5 is not a whole number"),
        ([0, 1], {"k": True}, "k=True is not a whole number"),
        ([0, 2, 0], {"k": 1}, r"group 1 of 0..2 has no member in the gallery of 3"),
        ([0, 1, 0], {"k": 1, "n_groups": 3}, r"group 2 of 0..2 has no member in the gallery of 3"),
        ([0, 1, 2], {"k": 1, "n_groups": 2}, "group id 2 is not below n_groups=2"),
        ([0, 0, 0], {"k": 1}, "the gallery of 3 has one group only"),
        ([0, -1, 1, -1], {"k": 1}, "group id -1 is negative; leave the 2 items without a group out"),
        ([0.0, 1.0], {"k": 1}, "groups have dtype float64; give integer ids"),
        (["man", "woman"], {"k": 1}, "groups have dtype <U5; give integer ids"),
        ([], {"k": 1}, r"groups have shape \(0,\)"),
        ([0, 1], {"k": 1, "target": "equal"}, "target='equal' is unknown; use 'uniform', 'pool' or 2 shares"),
        ([0, 1], {"k": 1, "target": [0.2, 0.3, 0.5]}, r"target has shape \(3,\), the gallery has 2 groups"),
        ([0, 1], {"k": 1, "target": [0.5, 0.6]}, "sums to 1.1; shares must sum to 1"),
        ([0, 1], {"k": 1, "target": [1.0, 0.0]}, "has a share that is not above 0"),
        ([0, 1], {"k": 1, "absent": "zero"}, "absent='zero' is unknown; use 'one', 'laplace', 'error'"),
    ],
)
@pytest.mark.parametrize("metric", [max_skew, min_skew])
def test_bad_input_is_a_one_line_error(metric, ranked, options, message):
    with pytest.raises(ValueError, match=message) as error:
        metric(ranked, **options)
    assert "\n" not in str(error.value)


def test_k_has_no_default():
    with pytest.raises(TypeError, match="'k'"):
        max_skew([0, 1])


def test_bias_at_k():
    ranked = [0, 1, 0, 0, 2, 1, 1, 1]
    assert bias_at_k(ranked, k=1, man=0, woman=1) == 1
    assert bias_at_k(ranked, k=5, man=0, woman=1) == pytest.approx(0.5)
    assert bias_at_k(ranked, k=5, man=1, woman=0) == pytest.approx(-0.5)
    assert bias_at_k(ranked, k=8, man=0, woman=1) == pytest.approx(-1 / 7)
    with pytest.raises(ValueError, match="the top 1 hold no image of group man=0 or woman=1"):
        bias_at_k([2, 0, 1], k=1, man=0, woman=1)
    with pytest.raises(ValueError, match="k=9 is larger than the gallery of 8"):
        bias_at_k(ranked, k=9, man=0, woman=1)
