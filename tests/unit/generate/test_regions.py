import numpy as np
import pytest

from cfray.config import build_config
from cfray.dataset.schema import decode_mask, decode_picture, encode_png, set_schema
from cfray.generate.config import CropConfig, InpainterConfig, MaskConfig
from cfray.generate.masks import PersonMasker
from cfray.generate.painters import Inpainter
from cfray.generate.parser import region_labels
from cfray.generate.regions import bounding_box, crop_box, dilate, iou, is_cropped, people_in

ADE = {0: "wall", 1: "building", 12: "person, individual, someone", 20: "car"}


def rectangle(*box: int, size: int = 40) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    left, upper, right, lower = box
    mask[upper:lower, left:right] = True
    return mask


def test_the_person_of_a_scene_parser():
    assert region_labels(ADE, "person") == [12]


def test_people_apart_are_counted_and_specks_are_not():
    persons = rectangle(2, 2, 12, 30) | rectangle(20, 2, 26, 30) | rectangle(35, 35, 36, 36)
    people = people_in(persons, np.zeros_like(persons), 0.2)
    assert [int(person.sum()) for person in people] == [280, 168]


def test_people_who_touch_are_told_apart_by_their_faces():
    persons = rectangle(4, 4, 30, 36)
    faces = rectangle(8, 6, 12, 10) | rectangle(22, 6, 26, 10)
    people = people_in(persons, faces, 0.2)
    assert len(people) == 2
    assert np.array_equal(people[0] | people[1], persons)
    assert not (people[0] & people[1]).any()
    assert people_in(np.zeros_like(persons), faces, 0.2) == []


def test_cropped_people():
    assert is_cropped(rectangle(0, 5, 9, 20))
    assert is_cropped(rectangle(5, 0, 9, 20))
    assert is_cropped(rectangle(30, 5, 40, 20))
    assert not is_cropped(rectangle(5, 5, 9, 40))


def test_the_crop_is_a_square_around_the_person_inside_the_picture():
    crop = CropConfig(below=0.2, margin=0.5)
    assert crop_box(rectangle(10, 10, 20, 18), crop) == (5, 4, 25, 24)
    assert crop_box(rectangle(0, 30, 10, 40), crop) == (0, 20, 20, 40)
    assert crop_box(rectangle(2, 2, 30, 30), crop) == (0, 0, 40, 40)
    assert crop_box(rectangle(10, 10, 20, 18), None) == (0, 0, 40, 40)


def test_boxes_and_overlaps():
    assert bounding_box(rectangle(3, 4, 10, 12)) == (3, 4, 10, 12)
    assert iou(rectangle(0, 0, 10, 10), rectangle(5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert iou(rectangle(0, 0, 0, 0), rectangle(0, 0, 0, 0)) == 1.0


def row() -> dict:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return dict.fromkeys(set_schema(["gender"]).names) | {"base": encode_png(picture), "status": "", "set_id": "one"}


def masked(checkpoint: str, **changes) -> dict:
    masker = PersonMasker(build_config(MaskConfig, {"model": checkpoint, "min_area": 0.0, "max_area": 1.0} | changes))
    result = row()
    masker.attempt(result, masker.process)
    return result


def test_a_segformer_with_clothes_labels_masks_the_body(checkpoints):
    result = masked(checkpoints["parser-face"])
    assert result["status"] == ""
    assert decode_mask(result["mask"]).all()
    assert result["checks"] == {"mask_area": 1.0, "people": 1, "cropped": True}


@pytest.mark.parametrize(
    ("checkpoint", "changes", "status"),
    [
        ("parser-background", {}, "rejected:no_person"),
        ("parser-face", {"cropped": "reject"}, "rejected:cropped_person"),
        ("parser-face", {"max_area": 0.5}, "rejected:mask_area"),
    ],
)
def test_policies(checkpoints, checkpoint, changes, status):
    result = masked(checkpoints[checkpoint], **changes)
    assert result["status"] == status
    assert result["checks"]["people"] == (0 if checkpoint == "parser-background" else 1)


class _TwoPeople(PersonMasker):
    """The masker over a label map drawn by hand: two people, the left one larger."""

    def __init__(self, config):
        super().__init__(config)
        labels = np.zeros((64, 64), int)
        labels[10:60, 5:25], labels[10:18, 10:20] = 4, 11
        labels[20:60, 26:40], labels[20:27, 30:37] = 4, 11
        self.parser.label_map = lambda picture: labels


@pytest.mark.parametrize(("policy", "status"), [("all", ""), ("largest", ""), ("reject", "rejected:several_people")])
def test_several_people(checkpoints, policy, status):
    settings = {"model": checkpoints["parser"], "several": policy, "dilate_px": 14, "min_area": 0.0}
    masker, result = _TwoPeople(build_config(MaskConfig, settings)), row()
    masker.attempt(result, masker.process)
    assert result["status"] == status
    assert result["checks"]["people"] == 2
    mask = decode_mask(result["mask"])
    assert mask[12, 12]
    assert mask[24, 33] == (policy != "largest")
    # The dilated edge does not reach into the other person.
    assert not (policy == "largest" and mask[20:60, 26:40].any())


def test_a_small_person_is_painted_in_its_crop_and_pasted_back_exactly(checkpoints):
    settings = {"model": checkpoints["sdxl-inpaint"], "steps": 2, "strength": 0.9, "crop": {"below": 0.2, "margin": 0.3}}
    inpainter = Inpainter(build_config(InpainterConfig, settings | {"size": 64}))
    rng = np.random.default_rng(1)
    base = rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
    mask = dilate(rectangle(40, 30, 52, 50, size=96), 2)
    variants = [{"prompt": "a woman", "seed": 5, "status": ""}, {"prompt": "a man", "seed": 6, "status": ""}]
    result = row() | {"base": encode_png(base), "mask": encode_png(mask), "variants": variants}
    inpainter.process(result)
    for variant in result["variants"]:
        picture = decode_picture(variant["image"])
        assert np.array_equal(picture[~mask], base[~mask])
        assert not np.array_equal(picture[mask], base[mask])
