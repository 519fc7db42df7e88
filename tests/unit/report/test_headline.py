from __future__ import annotations

import pytest

from cfray.report.headline import accuracy_changes, write_headline


def set_skew(result, alpha, benchmark, attribute, value, floor=0.1):
    row = next(row for row in result["alphas"] if row["alpha"] == alpha)
    row["fairness"][benchmark][attribute]["maxskew@100"]["uniform"] = dict.fromkeys(("value", "low", "high"), value) | {
        "floor": floor
    }


def test_findings_say_reduction_and_accuracy_in_words(result):
    for attribute, old, new in (("gender", 0.5, 0.2), ("skin_tone", 0.6, 0.3)):
        set_skew(result, 0.0, "portraits", attribute, old)
        set_skew(result, 0.7, "portraits", attribute, new)
    headline = write_headline(result)
    assert headline.advice == "Use the blend at α = 0.7."
    falls = "falls by 75\u202f% for gender and by 60\u202f% for skin tone"
    assert headline.findings[0] == f"Portraits: skew above the random floor {falls}."
    assert headline.findings[1].startswith("Portraits, held-out concepts: ")
    assert headline.findings[2] == "Zero-shot, things: accuracy falls by 0.3 points, to 89.9\u202f%."
    assert headline.findings[3].startswith("R@5, appearance captions: the largest cost")
    assert [tile.number for tile in headline.tiles[:3]] == ["α = 0.7", "\u221275\u202f%", "\u221260\u202f%"]


def test_findings_do_not_hide_skew_that_rose_or_had_nowhere_to_fall(result):
    set_skew(result, 0.0, "portraits", "gender", 0.3)
    set_skew(result, 0.7, "portraits", "gender", 0.4)
    set_skew(result, 0.0, "portraits", "skin_tone", 0.1)
    finding = write_headline(result).findings[0]
    assert "rises by 50\u202f% for gender and is at the floor from the start for skin tone" in finding


def test_the_original_model_can_be_the_recommendation(result):
    result["recommended_alpha"] = 0.0
    headline = write_headline(result)
    assert headline.advice.startswith("Keep the original model")
    assert headline.findings[0] == "Portraits: skew above the random floor does not change for gender and for skin tone."
    assert headline.findings[2] == "Zero-shot, things: accuracy stays at 90.2\u202f%."
    assert len(headline.findings) == 3


def test_only_a_loss_beyond_the_accepted_one_is_flagged_and_appearance_never(result):
    row = next(row for row in result["alphas"] if row["alpha"] == 0.7)
    row["accuracy"]["recall@5_text_to_image"] = result["alphas"][0]["accuracy"]["recall@5_text_to_image"] - 0.02
    flags = {label: over for label, *_, over in accuracy_changes(result)}
    assert [label for label, over in flags.items() if over] == ["R@5, text to image"]
    assert flags["R@5, appearance captions"] is False
    del result["accuracy_budget"]
    assert not any(over for *_, over in accuracy_changes(result))


def test_a_result_without_maxskew_is_refused(result):
    for row in result["alphas"]:
        row["fairness"] = {"portraits": {"gender": {"ndkl@100": row["fairness"]["portraits"]["gender"]["ndkl@100"]}}}
    with pytest.raises(ValueError, match="no maxskew@K"):
        write_headline(result)
