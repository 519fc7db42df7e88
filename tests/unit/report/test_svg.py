from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from cfray.report.svg import Scale, decimals, path, spread, tag, ticks


def test_tag_escapes_attributes_and_text_but_not_markup():
    built = tag("g", "<b>", tag("title", 'a "quote"'), aria_label='"><script>', class_="x")
    assert built == ('<g aria-label="&#34;&gt;&lt;script&gt;" class="x">&lt;b&gt;<title>a &#34;quote&#34;</title></g>')
    assert isinstance(built, Markup)


def test_scale_maps_ends_and_middle():
    scale = Scale(0.0, 2.0, 300, 100)
    assert [scale(v) for v in (0.0, 1.0, 2.0)] == [300, 200, 100]


def test_path_closes_only_a_polygon():
    corners = [(0.0, 0.0), (10.04, 0.0), (10.0, 5.26)]
    assert 'd="M0 0L10 0L10 5.3"' in path(corners, "curve")
    assert 'd="M0 0L10 0L10 5.3Z"' in path(corners, "band", closed=True)


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4), st.integers(2, 8))
def test_ticks_cover_the_range_in_equal_round_steps(low, width, about):
    marks = ticks(low, low + width, about)
    step = marks[1] - marks[0]
    assert marks[0] <= low + 1e-6 * width
    assert marks[-1] >= low + width * (1 - 1e-6)
    assert 2 <= len(marks) <= about + 3
    assert all(b - a == pytest.approx(step, rel=1e-6) for a, b in zip(marks, marks[1:], strict=False))
    assert f"{step:.0e}"[0] in "125"


def test_ticks_of_a_flat_series():
    assert ticks(0, 0, 4) == [0, 0.5]


def test_decimals_tell_ticks_apart():
    assert [decimals(marks) for marks in ([0.0, 0.05], [0.0, 0.5], [0, 1], [0, 20])] == [2, 1, 0, 0]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=6))
def test_spread_keeps_labels_apart_inside_and_in_order(positions):
    placed = spread(positions, 15, 0, 100)
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    assert all(placed[b] - placed[a] >= 15 - 1e-9 for a, b in zip(order, order[1:], strict=False))
    assert max(placed) <= 100 + 1e-9
    assert min(placed) >= -1e-9


def test_spread_leaves_labels_with_room_alone():
    assert spread([80.0, 10.0, 40.0], 15, 0, 100) == [80.0, 10.0, 40.0]
