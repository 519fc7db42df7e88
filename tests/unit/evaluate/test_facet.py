import csv

import pytest

from cfray.errors import UserError
from cfray.evaluate.facet import COLUMNS, FACET, FACETConfig, most_voted, parse_box, skin_tone


def person(number, photo, **values):
    row = dict.fromkeys(COLUMNS, 0) | {"person_id": number, "filename": photo}
    row["bounding_box"] = '{"x": 0, "y": 0, "width": 6, "height": 5, "dict_attributes": {}}'
    return row | values


def masculine(number, photo, **values):
    return person(number, photo, gender_presentation_masc=1, age_presentation_young=1, skin_tone_2=3, **values)


def feminine(number, photo, **values):
    return person(number, photo, gender_presentation_fem=1, age_presentation_older=1, skin_tone_9=2, **values)


@pytest.fixture
def folder(tmp_path, paint):
    for i in range(4):
        paint(tmp_path / f"imgs_{i % 2}" / f"sa_{i}.jpg", "red" if i % 2 else "blue", (12, 10))
    return tmp_path


def config(folder, rows, **changes):
    with (folder / "annotations.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    fields = {"labels": str(folder / "annotations.csv"), "images": str(folder), "k": [2], "prompts": ["prompts-activities"]}
    return FACETConfig(**fields | changes)


def test_each_person_is_a_cut_out_image(folder, clip, settings):
    rows = [masculine(1, "sa_0.jpg"), feminine(2, "sa_0.jpg"), masculine(3, "sa_1.jpg"), feminine(4, "sa_2.jpg")]
    benchmark = FACET(config(folder, rows), settings)
    assert [(p.name, p.box) for p in benchmark.galleries[0].pictures][:2] == [
        ("sa_0.jpg#1", (0, 0, 6, 5)), ("sa_0.jpg#2", (0, 0, 6, 5)),
    ]  # fmt: skip
    assert (benchmark.report.facts["images"], benchmark.report.facts["photos"]) == (4, 3)
    found = benchmark.measure(clip).fairness["facet_activities"]
    assert {a: list(found[a]["groups"]) for a in found} == {
        "gender": ["feminine", "masculine"], "age": ["older", "young"], "skin_tone": ["dark", "light"],
    }  # fmt: skip


def test_people_that_do_not_fit_are_listed(folder, clip, settings):
    outside = '{"x": 50, "y": 0, "width": 6, "height": 5}'
    rows = [
        masculine(1, "sa_0.jpg"), feminine(2, "sa_1.jpg"), masculine(3, "sa_2.jpg"), feminine(4, "sa_2.jpg"),
        masculine(5, "sa_0.jpg", bounding_box="none"), masculine(6, "sa_9.jpg"), person(7, "sa_0.jpg"),
        masculine(8, "sa_0.jpg", bounding_box=outside),
    ]  # fmt: skip
    benchmark = FACET(config(folder, rows, attributes=["gender"]), settings)
    benchmark.measure(clip)
    unreadable = benchmark.report.problems.pop("unreadable images")
    assert benchmark.report.problems == {
        "rows without an image": ["sa_9.jpg"],
        "images without a row": ["sa_3.jpg"],
        "people with a malformed box": ["5"],
        "images without a label of gender": ["sa_0.jpg#7"],
    }
    assert len(unreadable) == 1
    assert unreadable[0].startswith("sa_0.jpg#8 (box (50.0, 0.0, 6.0, 5.0) lies outside of an image of 12 x 10")


def test_whole_photos_need_no_box(folder, settings):
    rows = [masculine(1, "sa_0.jpg", bounding_box=""), feminine(2, "sa_1.jpg", bounding_box="")]
    assert [p.box for p in FACET(config(folder, rows, crop=False), settings).galleries[0].pictures] == [None, None]
    with pytest.raises(UserError, match="has no person with a box and an image"):
        FACET(config(folder, rows), settings)


def test_boxes_and_votes():
    assert parse_box("{'x': 1.5, 'y': 2, 'width': 3, 'height': 4}") == (1.5, 2, 3, 4)
    assert [parse_box(cell) for cell in ("", "[1, 2]", "{'x': 1}", "{'x': 0, 'y': 0, 'width': 0, 'height': 4}")] == [None] * 4
    assert most_voted({"a": "2", "b": "1"}, {"a": "A", "b": "B"}) == "A"
    assert most_voted({"a": "1", "b": 1}, {"a": "A", "b": "B"}) is None
    assert most_voted({"a": "", "b": "x"}, {"a": "A", "b": "B"}) is None
    assert skin_tone(dict.fromkeys(COLUMNS, 0) | {"skin_tone_4": 1, "skin_tone_5": 1, "skin_tone_6": 1}) == "medium"
    assert skin_tone(dict.fromkeys(COLUMNS, 0) | {"skin_tone_4": 1, "skin_tone_5": 1}) is None
