import pytest

from cfray.errors import UserError
from cfray.evaluate.fairface import FairFace, FairFaceConfig

HEADING = "file,age,gender,race,service_test\n"


@pytest.fixture
def folder(tmp_path, paint):
    rows = []
    for i in range(8):
        paint(tmp_path / "val" / f"{i}.jpg", "red" if i % 2 else "blue")
        rows.append(f"val/{i}.jpg,{'20-29' if i < 4 else 'more than 70'},{'Female' if i % 2 else 'Male'},White,True")
    paint(tmp_path / "train" / "1.jpg")
    (tmp_path / "labels.csv").write_text(HEADING + "\n".join(rows) + "\n")
    return tmp_path


def config(folder, **changes):
    fields = {"labels": str(folder / "labels.csv"), "images": str(folder), "padding": "0.25", "k": [2]}
    return FairFaceConfig(**fields | {"prompts": ["prompts-activities"], "attributes": ["gender"]} | changes)


def add(folder, *rows):
    with (folder / "labels.csv").open("a") as file:
        file.writelines(f"{row}\n" for row in rows)


def test_reads_says_what_and_measures(folder, clip, settings, capsys):
    found = FairFace(config(folder, attributes=["gender", "age3"]), settings).measure(clip)
    assert set(found.fairness["fairface_activities"]) == {"gender", "age3"}
    assert {name: g["members"] for name, g in found.fairness["fairface_activities"]["age3"]["groups"].items()} == {
        "0-29": 4, "60+": 4,
    }  # fmt: skip
    line = capsys.readouterr().out.splitlines()[0]
    assert line.startswith("[fairface] split val, padding 0.25, 8 images, attributes gender (2 groups), age3 (2 groups)")


def test_everything_that_does_not_fit_is_listed(folder, paint, settings):
    paint(folder / "val" / "99.jpg")
    add(folder, "val/77.jpg,20-29,Male,White,True", "val/1.jpg,20-29,Male,White,True", ",20-29,Male,White,True")
    labels = (folder / "labels.csv").read_text()
    labels = labels.replace("val/0.jpg,20-29,Male", "val/0.jpg,Oct-19,Male").replace("val/2.jpg,20-29,Male", "val/2.jpg,20-29,")
    (folder / "labels.csv").write_text(labels)
    problems = FairFace(config(folder, attributes=["gender", "age"]), settings).report.problems
    assert problems == {
        "rows without a file": ["row 11"],
        "rows about an image that had one before": ["val/1.jpg"],
        "rows without an image": ["val/77.jpg"],
        "images without a row": ["val/99.jpg"],
        "labels of age that FairFace does not have": ["val/0.jpg (Oct-19)"],
        "images without a label of gender": ["2.jpg"],
        "images without a label of age": ["0.jpg"],
    }


def test_a_split_that_is_not_there(folder, settings):
    with pytest.raises(UserError, match="split='test': no file in .* begins with it; the first is 'val/0.jpg'"):
        FairFace(config(folder, split="test"), settings)


def test_labels_of_other_images(folder, settings):
    (folder / "labels.csv").write_text(HEADING + "val/x.jpg,20-29,Male,White,True\n")
    with pytest.raises(UserError, match="names 1 images and folder .* has 8, none of them the same"):
        FairFace(config(folder), settings)
