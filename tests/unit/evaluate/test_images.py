import io
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cfray.errors import UserError
from cfray.evaluate.images import Gallery, ParquetPicture, Picture, TarPicture, UnreadableError, decode, list_images, stat


def test_images_are_listed_by_relative_path_without_other_files(tmp_path, paint):
    paint(tmp_path / "b" / "two.JPEG")
    paint(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.png").write_bytes(b"x")
    found = list_images(str(tmp_path))
    assert list(found) == ["a.png", "b/two.JPEG"]
    assert found["a.png"].read() == (tmp_path / "a.png").read_bytes()
    with pytest.raises(UserError, match="image folder .*nowhere' not found"):
        list_images(str(tmp_path / "nowhere"))


def test_the_fingerprint_changes_with_the_file_and_the_box(tmp_path, paint):
    def fingerprint(box=None):
        found = list_images(str(tmp_path))
        pictures = [Picture(name=p.name, place=p.place, stamp=p.stamp, box=box) for p in found.values()]
        return Gallery("g", tuple(pictures)).fingerprint

    paint(tmp_path / "a.png")
    before = fingerprint()
    assert fingerprint() == before
    assert fingerprint((0, 0, 2, 2)) != before
    paint(tmp_path / "a.png", "blue", (40, 40))
    assert fingerprint() != before


def test_decode_converts_cuts_and_refuses(tmp_path, paint):
    content = paint(tmp_path / "a.png", "blue", (20, 10)).read_bytes()
    assert decode(content).size == (20, 10)
    # A box that reaches over the edge is cut to the image.
    assert decode(content, (15, -2, 10, 8)).size == (5, 6)
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(stream, "JPEG")
    half = stream.getvalue()[: len(stream.getvalue()) // 2]
    for wrong, reason in ((b"no image", "cannot identify"), (half, "truncated"), (b"", "cannot identify")):
        with pytest.raises(UnreadableError, match=reason):
            decode(wrong)
    with pytest.raises(UnreadableError, match="outside of an image of 20 x 10"):
        decode(content, (30, 0, 5, 5))


def test_members_of_a_tar_and_cells_of_a_parquet_file(tmp_path, paint):
    contents = [paint(tmp_path / f"{i}.png", colour).read_bytes() for i, colour in enumerate(("red", "green", "blue"))]
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for i in range(3):
            archive.add(tmp_path / f"{i}.png", f"{i}.png")
        members = archive.getmembers()
    place = str(tmp_path / "x.tar")
    with tarfile.open(place) as archive:
        members = archive.getmembers()
    pictures = [TarPicture(name=m.name, place=place, stamp="", offset=m.offset_data, size=m.size) for m in members]
    assert [picture.read() for picture in pictures] == contents

    plain, struct = pa.array(contents), pa.array([{"bytes": c, "path": None} for c in contents])
    pq.write_table(pa.table({"plain": plain, "struct": struct}), tmp_path / "x.parquet", row_group_size=2)
    for column in ("plain", "struct"):
        cells = [
            ParquetPicture(name="x", place=str(tmp_path / "x.parquet"), stamp="", column=column, group=i // 2, row=i % 2)
            for i in range(3)
        ]
        assert [cell.read() for cell in cells] == contents


def test_stat_needs_a_file(tmp_path):
    (tmp_path / "a").write_text("x")
    assert stat(str(tmp_path / "a")).startswith("1-")
    with pytest.raises(UserError, match="not found"):
        stat(str(tmp_path))


def test_an_image_without_bytes_is_unreadable(tmp_path):
    pq.write_table(pa.table({"image": pa.array([None], pa.binary())}), tmp_path / "x.parquet")
    cell = ParquetPicture(name="x", place=str(tmp_path / "x.parquet"), stamp="", column="image", group=0, row=0)
    with pytest.raises(UnreadableError):
        decode(cell.read())
