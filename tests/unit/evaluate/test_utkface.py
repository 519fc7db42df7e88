import pytest

from cfray.errors import UserError
from cfray.evaluate.utkface import UTKFace, UTKFaceConfig, parse_name


def test_names():
    assert parse_name("26_1_2_20170116174525125.jpg.chip.jpg") == {"gender": "Female", "race": "Asian", "age3": "0-29"}
    assert parse_name("part2/116_0_4_20170120134921760.jpg") == {"gender": "Male", "race": "Others", "age3": "60+"}


@pytest.mark.parametrize(
    "name",
    [
        "39_1_20170116174525125.jpg.chip.jpg",  # these three are published so: no race
        "61_1_20170109142408075.jpg.chip.jpg",
        "61_1_20170109150557335.jpg.chip.jpg",
        "53__0_20170116184028385.jpg",
        "24_0_1_.jpg",
        "26_2_2_20170116174525125.jpg",
        "26_1_5_20170116174525125.jpg",
        "face.jpg",
    ],
)
def test_malformed_names(name):
    assert parse_name(name) is None


def test_reads_the_folder_and_lists_malformed_names(tmp_path, paint, clip, settings):
    for i in range(6):
        paint(tmp_path / f"{20 + 10 * i}_{i % 2}_{i % 3}_2017011617452512{i}.jpg.chip.jpg", "red" if i % 2 else "blue")
    paint(tmp_path / "39_1_20170116174525125.jpg.chip.jpg")
    config = UTKFaceConfig(images=str(tmp_path), k=[3], prompts=["prompts-activities"], attributes=["gender", "race", "age3"])
    benchmark = UTKFace(config, settings)
    assert benchmark.report.problems == {"malformed names": ["39_1_20170116174525125.jpg.chip.jpg"]}
    groups = benchmark.measure(clip).fairness["utkface_activities"]["race"]["groups"]
    assert {name: group["members"] for name, group in groups.items()} == {"Asian": 2, "Black": 2, "White": 2}


def test_a_folder_of_something_else(tmp_path, paint, settings):
    paint(tmp_path / "face.jpg")
    with pytest.raises(UserError, match="has 1 images, none named"):
        UTKFace(UTKFaceConfig(images=str(tmp_path), k=[1]), settings)
