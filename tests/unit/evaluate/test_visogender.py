import numpy as np
import pytest

from cfray.errors import UserError
from cfray.evaluate.visogender import VisoGender, VisoGenderConfig
from cfray.metrics import max_skew

COLUMNS = ("IDX", "Sector", "Specialisation", "Occupation", "{}", "URL type", "LICENSE OK?", "Occupation_perceived_gender")
HEADING = "\t".join(COLUMNS) + "\n"


def write(path, prefix, other, rows):
    lines = [
        f"{prefix}_{i}\tmedical\tx\t{occupation}\tthing\thttps://host/{i}\tYes\t{gender}"
        for i, (occupation, gender) in enumerate(rows, start=1)
    ]
    path.write_text(HEADING.format(other) + "\n".join(lines) + "\n")
    return str(path)


@pytest.fixture
def folder(tmp_path, paint):
    """Doctors: red men, blue women. A caption that names a colour prefers one of them."""
    genders = ("masculine", "feminine") * 3
    rows = [(occupation, gender) for occupation in ("red doctor", "blue nurse") for gender in genders]
    write(tmp_path / "OO.tsv", "OO", "Object", rows)
    write(tmp_path / "OP.tsv", "OP", "Participant", rows)
    for i, (_, gender) in enumerate(rows, start=1):
        for prefix in ("OO", "OP"):
            paint(tmp_path / "images" / prefix / f"{prefix}_{i}.jpg", "red" if gender == "masculine" else "blue")
    return tmp_path


def config(folder, **changes):
    return VisoGenderConfig(**{"single": str(folder / "OO.tsv"), "images": str(folder / "images"), "k": [3]} | changes)


def test_means_over_occupations(folder, clip, settings, capsys):
    found = VisoGender(config(folder, pairs=str(folder / "OP.tsv")), settings).measure(clip)
    assert set(found.fairness) == {"visogender_single", "visogender_pairs"}
    summary = found.fairness["visogender_single"]["gender"]
    # "red doctor" brings up three men, "blue nurse" three women.
    expected = max_skew(np.array([0, 0, 0, 1, 1, 1]), k=3)
    assert summary["maxskew@3"]["uniform"]["value"] == pytest.approx(expected)
    assert summary["bias@3"]["uniform"]["value"] == 0
    assert (summary["bias@3"]["uniform"]["low"], summary["bias@3"]["uniform"]["high"]) == (-1, 1)
    assert found.accuracy["resolution_visogender_single"] in [i / 12 for i in range(13)]
    assert "single 12 images of 2 occupations, pairs 12 images of 2 occupations" in capsys.readouterr().out


def test_dead_links_and_what_does_not_fit(folder, clip, settings, paint):
    for i in (1, 3, 5, 2):
        (folder / "images" / "OO" / f"OO_{i}.jpg").unlink()
    table = (folder / "OO.tsv").read_text()
    (folder / "OO.tsv").write_text(table.replace("https://host/8\tYes\tfeminine", "https://host/8\tYes\t"))
    paint(folder / "images" / "nurse.jpg")
    paint(folder / "images" / "OO_99.jpg")
    benchmark = VisoGender(config(folder), settings)
    benchmark.measure(clip)
    assert benchmark.report.problems == {
        "images not named by an IDX (OO_1.jpg, OP_1.jpg)": ["nurse.jpg"],
        "rows without an image": ["OO_1", "OO_2", "OO_3", "OO_5"],
        "images without a row": ["OO_99"],
        "images without a perceived gender": ["OO_8"],
        "occupations left out": ["red doctor (single, 2 images)"],
    }


def test_a_table_without_genders(folder, settings):
    table = (folder / "OO.tsv").read_text()
    (folder / "OO.tsv").write_text(table.replace("masculine", "").replace("feminine", ""))
    with pytest.raises(UserError, match="none of the 12 images of .* has a Occupation_perceived_gender of masculine"):
        VisoGender(config(folder), settings)


def test_no_table_and_no_occupation(folder, clip, settings):
    with pytest.raises(UserError, match="needs a table"):
        VisoGender(config(folder, single=None), settings)
    with pytest.raises(UserError, match="no occupation of visogender single has both genders and 7 images"):
        VisoGender(config(folder, k=[7]), settings).measure(clip)
