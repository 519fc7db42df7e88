import numpy as np
import pytest
import torch
from scipy import ndimage

from cfray.concepts.appearance import MONK_TONES, load_appearances
from cfray.config import build_config
from cfray.dataset.schema import encode_png, set_schema
from cfray.errors import UserError
from cfray.generate.checks import VariantChecker
from cfray.generate.config import ChecksConfig, ClipCheckConfig, GenerateConfig
from cfray.generate.keeping import imbalance, variant_status
from cfray.generate.pixels import (
    context_drift,
    individual_typology_angle,
    nearest_distances,
    nearest_monk_tone,
    perceptual_hash,
    sharpness,
    skin_colour,
    to_lab,
)
from cfray.generate.readers import ClipReader, SafetyReader

ASKED = {"gender": "feminine", "skin_tone": "7"}


def status(measured: dict, base_similarity: float | None = None, **checks) -> str:
    config = build_config(ChecksConfig, checks)
    return variant_status(ASKED, measured, base_similarity, load_appearances("appearance"), config)


def noise(seed: int = 0) -> np.ndarray:
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).random((64, 64, 3)), (3, 3, 0))
    return (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


def test_lab_of_known_colours():
    # White, black and sRGB red by CIE 15.
    assert np.allclose(
        to_lab(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]])), [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.2]], atol=0.02
    )


def test_every_monk_colour_is_its_own_step():
    picture = np.zeros((8, 8, 3), np.uint8)
    for step, colour in MONK_TONES.items():
        picture[:4] = colour
        lab = skin_colour(picture, picture.any(axis=2))
        assert nearest_monk_tone(lab) == step
    assert individual_typology_angle(to_lab(np.array(MONK_TONES[2]))) > 55
    assert individual_typology_angle(to_lab(np.array(MONK_TONES[9]))) < -30
    assert individual_typology_angle(np.array([60.0, 0, 10.0])) == pytest.approx(45)
    assert skin_colour(picture, np.zeros((8, 8), bool)) is None


def test_blur_lowers_sharpness():
    blurred = ndimage.gaussian_filter(noise(), (2, 2, 0))
    assert sharpness(blurred) < 0.5 * sharpness(noise())
    assert sharpness(np.full((8, 8, 3), 90, np.uint8)) == 0


def test_hashes_know_the_same_picture():
    brighter = (noise() * 0.9).astype(np.uint8)
    hashes = [perceptual_hash(picture) for picture in (noise(), brighter, noise(1))]
    near = nearest_distances(hashes)
    assert near[0] == near[1] <= 4
    assert near[2] > 12
    assert nearest_distances(hashes[:1]) == [None]


def test_drift_is_outside_the_mask():
    base, mask = noise(), np.zeros((64, 64), bool)
    mask[:32] = True
    inside, outside = base.copy(), base.copy()
    inside[mask] = 0
    outside[60, 60, 0] ^= 8
    assert context_drift(base, inside, mask) == 0
    assert context_drift(base, outside, mask) == 8


@pytest.mark.parametrize(
    ("measured", "checks", "expected"),
    [
        ({}, {}, "kept"),
        ({"skin_tone_read": 8}, {}, "kept"),
        ({"skin_tone_read": 9}, {}, "rejected:skin_tone"),
        ({"gender_read": "masculine"}, {}, "rejected:gender"),
        ({"context_drift": 1}, {}, "rejected:context"),
        ({"unsafe": True}, {}, "rejected:unsafe"),
        ({"person_iou": 0.3}, {}, "kept"),
        ({"person_iou": 0.3}, {"person": {"min_iou": 0.5}}, "rejected:no_person"),
        ({"sharpness": 0.1}, {"min_sharpness": 0.2}, "rejected:blur"),
        ({"skin_tone_pixels": 4}, {}, "kept"),
        ({"skin_tone_pixels": 4}, {"skin_pixels_tolerance": 2}, "rejected:skin_pixels"),
        (
            {"clip_read": [{"axis": "gender", "value": "masculine", "requested_probability": 0.2}]},
            {"clip": {"model": "world:clip", "min_probability": {"gender": 0.4}}},
            "rejected:clip_gender",
        ),
        ({"concept_similarity": 0.70}, {"clip": {"model": "world:clip", "concept_margin": 0.02}}, "rejected:concept"),
        ({"concept_similarity": 0.73}, {"clip": {"model": "world:clip", "concept_margin": 0.02}}, "kept"),
    ],
)
def test_status_of_a_variant(measured, checks, expected):
    assert status(measured, 0.74, **checks) == expected


def test_imbalance_is_the_share_that_the_most_missed_appearance_lost():
    people = [{"gender": "a"}, {"gender": "a"}, {"gender": "b"}, {"gender": "b"}]
    assert imbalance(people, people) == 0
    assert imbalance(people, people[:3]) == pytest.approx(0.5 - 1 / 3)
    assert imbalance(people, people[:2]) == 0.5
    assert imbalance(people, []) == 1


def reader_of(axis: str) -> ClipReader:
    config = ClipCheckConfig(model="world:clip", min_probability={axis: 0.2})
    return ClipReader(config, load_appearances("appearance"), torch.device("cpu"))


def test_a_zero_shot_reader_needs_words_for_every_value():
    with pytest.raises(UserError, match="body_type='average' in 'appearance' has no 'read' words"):
        ClipReader(
            ClipCheckConfig(model="world:clip", min_probability={"body_type": 0.2}), load_appearances("appearance"), "cpu"
        )
    reader = ClipReader(
        ClipCheckConfig(model="world:clip", min_probability={"gender": 0.2}), load_appearances("appearance"), "cpu"
    )
    (read,) = reader.read(reader.embed([noise()]))
    assert list(read["gender"]) == ["feminine", "masculine", "androgynous"]
    assert sum(read["gender"].values()) == pytest.approx(1, abs=1e-5)


def test_a_safety_checker_flags_and_leaves_the_picture_alone(checkpoints):
    picture = noise()
    assert SafetyReader(checkpoints["safety-flags"], torch.device("cpu")).flags([picture, picture]) == [True, True]
    assert SafetyReader(checkpoints["safety-passes"], torch.device("cpu")).flags([picture]) == [False]
    assert np.array_equal(picture, noise())


def checked(checkpoints, people: list[dict], pictures: list[np.ndarray], **checks) -> dict:
    config = build_config(
        GenerateConfig,
        {
            "output": "unused", "concepts": {"file": "professions"}, "appearances": {"file": "appearance"},
            "base": {"model": checkpoints["sdxl"]}, "masks": {"model": checkpoints["parser-face"]},
            "inpaint": {"model": checkpoints["sdxl-inpaint"]}, "checks": checks,
        },
    )  # fmt: skip
    mask = np.zeros((64, 64), bool)
    mask[8:56, 8:56] = True
    variants = [
        {"image": encode_png(np.where(mask[..., None], picture, noise())), "attributes": person, "status": ""}
        for person, picture in zip(people, pictures, strict=True)
    ]
    row = dict.fromkeys(set_schema(["gender"]).names) | {
        "base": encode_png(noise()), "mask": encode_png(mask), "variants": variants, "caption": "a photo of a doctor",
        "status": "",
    }  # fmt: skip
    checker = VariantChecker(config)
    checker.attempt(row, checker.process)
    return row


PEOPLE = [{"gender": "feminine"}, {"gender": "masculine"}, {"gender": "feminine"}]


def test_duplicates_inside_a_set_are_dropped_but_for_the_first(checkpoints):
    row = checked(checkpoints, PEOPLE, [noise(1), noise(2), noise(1)], min_hash_distance=4)
    assert [variant["status"] for variant in row["variants"]] == ["kept", "kept", "rejected:duplicate"]
    assert [variant["checks"]["hash_distance"] for variant in row["variants"]][::2] == [0, 0]
    assert row["status"] == "kept"


def test_a_set_out_of_balance_is_rejected_and_says_by_how_much(checkpoints):
    row = checked(checkpoints, PEOPLE, [noise(1), noise(1), noise(2)], min_hash_distance=4, max_imbalance=0.2)
    assert (row["status"], row["error"]) == ("rejected:imbalance", "an appearance's share fell by 0.33; 0.2 is allowed")
    assert row["checks"]["imbalance"] == pytest.approx(1 / 3)


def test_an_unsafe_base_is_never_kept(checkpoints):
    row = checked(checkpoints, PEOPLE, [noise(1), noise(2), noise(3)], safety_checker=checkpoints["safety-flags"])
    assert row["status"] == "rejected:unsafe"
    assert row["checks"]["unsafe"]
    assert {variant["status"] for variant in row["variants"]} == {"rejected:unsafe"}
    assert row["models"]["safety_checker"]["id"] == checkpoints["safety-flags"]


def test_everything_is_measured_at_once(checkpoints):
    row = checked(
        checkpoints, PEOPLE, [noise(1), noise(2), noise(3)], person={"min_iou": 0.5}, skin_pixels_tolerance=3,
        clip={"model": "world:clip", "min_probability": {"gender": 0.0}, "concept_margin": 1.0},
        safety_checker=checkpoints["safety-passes"],
    )  # fmt: skip
    assert row["status"] == "kept"
    for variant in row["variants"]:
        found = variant["checks"]
        assert (found["person_iou"], found["context_drift"], found["unsafe"]) == (1.0, 0, False)
        assert 1 <= found["skin_tone_pixels"] <= 10
        assert -90 <= found["ita"] <= 180
        assert found["clip_read"][0]["axis"] == "gender"
        assert -1 <= found["concept_similarity"] <= 1
