import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cfray.errors import UserError
from cfray.evaluate.images import Picture
from cfray.evaluate.reading import ReadReport, index_images, index_rows, match_images, read_rows, text


def pictures(*names):
    return {name: Picture(name=name, place=name, stamp="") for name in names}


def test_a_report_prints_counts_and_the_first_names_and_keeps_all(capsys):
    report = ReadReport("faces", {"split": "val", "images": 2500})
    report.print_facts()
    report.add("unreadable images", [f"{i}.jpg" for i in range(7)])
    report.add("dead links", [])
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "[faces] split val, 2,500 images"
    assert out[1] == "[faces] 7 unreadable images: 0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg and 2 more"
    assert report.to_dict()["problems"] == {"unreadable images": [f"{i}.jpg" for i in range(7)]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", '\ufefffile,note\na.jpg,"x, y"\n'),
        ("x.tsv", 'file\tnote\na.jpg\tx, y\n'),
        ("x.jsonl", '{"file": "a.jpg", "note": "x, y"}\n\n'),
    ],
)
def test_tables_of_every_kind(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert read_rows(str(tmp_path / name), ["file"]) == [{"file": "a.jpg", "note": "x, y"}]


def test_a_quotation_mark_in_a_table_with_tabs_is_a_character(tmp_path):
    (tmp_path / "x.tsv").write_text('file\tnote\na\t"open\nb\tc\n')
    assert [row["note"] for row in read_rows(str(tmp_path / "x.tsv"))] == ['"open', "c"]


def test_a_table_that_is_not_utf8(tmp_path):
    (tmp_path / "x.csv").write_bytes("file\nä\n".encode("latin-1"))
    with pytest.raises(UserError, match="cannot be read as csv: 'utf-8' codec"):
        read_rows(str(tmp_path / "x.csv"))


def test_lines_may_leave_values_out(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n{"b": 2}\n')
    assert read_rows(str(tmp_path / "x.jsonl"), ["a", "b"]) == [{"a": 1, "b": None}, {"a": None, "b": 2}]


def test_parquet_reads_the_named_columns_only(tmp_path):
    pq.write_table(pa.table({"file": ["a"], "image": [b"x"]}), tmp_path / "x.parquet")
    assert read_rows(str(tmp_path / "x.parquet"), ["file"]) == [{"file": "a"}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "file\n", "has no row"),
        ("x.csv", "name\na\n", "has no column 'file'; it has name"),
        ("x.jsonl", '{"file": "a"}\n{', "line 2 of .* is no JSON"),
        ("x.jsonl", "[1, 2]", r"line 1 of .* is no JSON object: \[1, 2\]"),
        ("x.parquet", "PAR", "cannot be read as parquet"),
        ("x.xlsx", "", "is of an unknown kind"),
    ],
)
def test_wrong_tables(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        read_rows(str(tmp_path / name), ["file"])


def test_cells_that_are_missing_are_empty_text():
    assert [text(cell) for cell in (None, float("nan"), " a ", 3, 0)] == ["", "", "a", "3", "0"]


def test_the_first_of_two_rows_counts():
    report = ReadReport("r")
    rows = [{"file": "a", "n": 1}, {"file": " ", "n": 2}, {"file": "a", "n": 3}]
    assert index_rows(rows, "file", report) == {"a": {"file": "a", "n": 1}}
    assert report.problems == {"rows without a file": ["row 2"], "rows about an image that had one before": ["a"]}


def test_images_by_a_key_of_their_names():
    report = ReadReport("r")
    found = index_images(pictures("x/1.jpg", "y/1.jpg", "z.jpg"), lambda n: n[2] if "/" in n else None, report, "a number")
    assert {key: picture.name for key, picture in found.items()} == {"1": "x/1.jpg"}
    assert report.problems == {"images not named by a number": ["z.jpg"], "images with a number of another one": ["y/1.jpg"]}


def test_rows_and_images_that_are_on_one_side_only():
    report = ReadReport("r")
    assert match_images(["a", "b", "c"], pictures("b", "c", "d"), report, "labels.csv", "images") == ["b", "c"]
    assert report.problems == {"rows without an image": ["a"], "images without a row": ["d"]}
    with pytest.raises(UserError, match=r"names 2 images and folder 'images' has 1, none of them the same \('a' and 'd'\)"):
        match_images(["a", "b"], pictures("d"), report, "labels.csv", "images")
