import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from cfray.dataset.schema import encode_png, set_schema
from cfray.dataset.store import write_part
from cfray.debias.faces import cut_out, read_counterfactual_sets, read_labelled_table, read_utkface
from cfray.errors import UserError


@pytest.fixture
def table(tmp_path):
    (tmp_path / "faces").mkdir()
    rows = [
        ("faces/1.png", "Male", "Black", "a"),
        ("faces/2.png", "Female", "White", "b"),
        ("faces/3.png", "Male", "White", "a"),
    ]
    for name, *_ in rows:
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    file = tmp_path / "labels.csv"
    file.write_text("\n".join(["file,gender,race,split", *(",".join(row) for row in rows)]) + "\n")
    return str(file)


def test_table(table, tmp_path):
    people = read_labelled_table(table, ["gender", "race"])
    assert people.pictures == [tmp_path / f"faces/{i}.png" for i in (1, 2, 3)]
    assert people.labels["gender"].tolist() == ["Male", "Female", "Male"]
    assert people.sets is None
    part = read_labelled_table(table, ["race"], where={"split": "a"})
    assert part.labels["race"].tolist() == ["Black", "White"]
    assert part.skipped == {"other rows": 1}


def test_table_errors(table, tmp_path):
    with pytest.raises(UserError, match=r"face table 'no\.csv' not found"):
        read_labelled_table("no.csv", ["gender"])
    with pytest.raises(UserError, match="no column 'age'; it has file, gender, race, split"):
        read_labelled_table(table, ["age"])
    with pytest.raises(UserError, match="no row of 3 with"):
        read_labelled_table(table, ["gender"], where={"split": "z"})
    (tmp_path / "faces/2.png").unlink()
    with pytest.raises(UserError, match="1 of 3 pictures"):
        read_labelled_table(table, ["gender"])


def test_utkface(tmp_path):
    for name in ("26_1_2_2017.jpg.chip.jpg", "9_0_4_2016.jpg", "116_1_0_2017.jpg", "61_1_20170109142408075.jpg"):
        (tmp_path / name).touch()
    people = read_utkface(str(tmp_path), ["gender", "race", "age"])
    found = {(str(g), str(r), str(a)) for g, r, a in zip(*people.labels.values(), strict=True)}
    assert found == {("Female", "Asian", "20-29"), ("Male", "Others", "3-9"), ("Female", "White", "70+")}
    assert people.skipped == {"malformed name": 1}
    with pytest.raises(UserError, match="attribute 'skin_tone' is not in UTKFace"):
        read_utkface(str(tmp_path), ["skin_tone"])
    with pytest.raises(UserError, match="no UTKFace picture"):
        read_utkface(str(tmp_path / "none"), ["gender"])


def set_row(set_id, attributes, statuses):
    image = encode_png(np.zeros((4, 4, 3), dtype=np.uint8))
    variants = [{"image": image, "attributes": a, "status": s} for a, s in zip(attributes, statuses, strict=True)]
    caption = f"a photo of {set_id}"
    return {"set_id": set_id, "caption": caption, "status": "kept", "base": image, "mask": image, "variants": variants}


def test_counterfactual_sets(tmp_path):
    people = [{"gender": "feminine", "skin_tone": "2"}, {"gender": "masculine", "skin_tone": "9"}]
    rows = [
        set_row("a", [*people, people[0]], ["kept", "kept", "rejected:gender"]),
        set_row("b", people, ["kept", "rejected:gender"]),
        set_row("c", people, ["kept", "kept"]),
    ]
    write_part(str(tmp_path), pa.Table.from_pylist(rows, schema=set_schema(["gender", "skin_tone"])))
    found = read_counterfactual_sets(str(tmp_path), ["gender", "skin_tone"])
    assert found.labels["gender"].tolist() == ["feminine", "masculine"] * 2
    assert found.labels["skin_tone"].tolist() == ["light", "dark"] * 2
    assert found.sets.tolist() == [0, 0, 2, 2]
    assert found.skipped == {"sets with one variant": 1}
    assert len(found.cut_outs) == len(found)
    assert found.captions == ("a photo of a", "a photo of c")  # of the sets that are taken
    with pytest.raises(UserError, match="variant without 'age'; it has gender, skin_tone"):
        read_counterfactual_sets(str(tmp_path), ["age"])


def test_a_person_is_cut_out_of_a_scene():
    picture = np.array([[[200, 0, 9], [10, 20, 30]], [[30, 40, 50], [20, 30, 40]]], dtype=np.uint8)
    person = np.array([[True, False], [False, False]])
    expected = np.full((2, 2, 3), [20, 30, 40], dtype=np.uint8)
    expected[0, 0] = [200, 0, 9]
    np.testing.assert_array_equal(cut_out(picture, person), expected)
    for everywhere in (person | True, person & False):
        np.testing.assert_array_equal(cut_out(picture, everywhere), picture)


def test_sets_without_a_pair(tmp_path):
    rows = [set_row("a", [{"gender": "feminine"}], ["kept"])]
    write_part(str(tmp_path), pa.Table.from_pylist(rows, schema=set_schema(["gender"])))
    with pytest.raises(UserError, match="no set of .* has two kept variants"):
        read_counterfactual_sets(str(tmp_path), ["gender"])
