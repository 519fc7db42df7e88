from __future__ import annotations

import pytest

from cfray.report.words import accuracy_label, benchmark_label, change_in_skew, duration, metric_label, number, percent, signed


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("portraits", "Portraits"),
        ("people_in_scenes", "People in scenes"),
        ("people_in_scenes_held_out", "People in scenes, held-out concepts"),
    ],
)
def test_benchmark_labels(key, label):
    assert benchmark_label(key) == label


def test_metric_labels_keep_the_k_of_the_key():
    assert metric_label("maxskew@1000") == "MaxSkew@1000"
    assert metric_label("minskew@7") == "MinSkew@7"
    assert metric_label("minskew@7", magnitude=True) == "|MinSkew@7|"
    assert metric_label("ndkl@50", magnitude=True) == "NDKL@50"


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("zero_shot_things", "Zero-shot, things"),
        ("recall@10_text_to_image", "R@10, text to image"),
        ("recall@5_appearance", "R@5, appearance captions"),
        ("able", "Able"),
    ],
)
def test_accuracy_labels(key, label):
    assert accuracy_label(key) == label


def test_numbers_have_a_true_minus_and_no_negative_zero():
    assert number(-0.25, 2) == "\u22120.25"
    assert number(-0.0004, 2) == "0.00"
    assert signed(0.34) == "+0.3"
    assert signed(-0.01) == signed(0.01) == "0.0"


def test_percentages_and_changes():
    assert percent(0.8994) == "89.9\u202f%"
    assert change_in_skew(0.806) == "\u221281\u202f%"
    assert change_in_skew(-0.12) == "+12\u202f%"
    assert change_in_skew(None) == "at floor"


@pytest.mark.parametrize(
    ("seconds", "words"), [(4.23, "4.2 s"), (192.4, "3 min 12 s"), (119.7, "2 min 0 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words
