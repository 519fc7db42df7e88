import io
import tarfile
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from cfray.dataset.pairs import count_pairs, read_pairs
from cfray.dataset.schema import IMAGE, encode_png
from cfray.errors import UserError


def picture(level: int) -> bytes:
    return encode_png(np.full((4, 4, 3), level, np.uint8))["bytes"]


def shard(path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def levels(pairs) -> list[int]:
    decoded = pairs.decode(range(len(pairs)), lambda image: torch.tensor(np.asarray(image)))
    return decoded[:, 0, 0, 0].tolist()


def test_shards_and_parquet_give_pictures_with_their_captions(tmp_path):
    shard(
        tmp_path / "1.tar",
        {"a/x.png": b"no", "a/y.png": picture(3), "a/y.txt": b"three\n\nIII\n", "z.PNG": picture(4), "z.txt": b"four"},
    )
    with pytest.raises(UserError, match=r"picture 'a/x' of .*1.tar' has no caption"):
        read_pairs(str(tmp_path), captions=True)
    shard(
        tmp_path / "1.tar",
        {"a/y.txt": b"three\n\nIII\n", "a/y.png": picture(3), "z.PNG": picture(4), "z.txt": b"four", "note.json": b"{}"},
    )
    images = pa.array([{"bytes": picture(level), "path": None} for level in (1, 2)], IMAGE)
    pq.write_table(pa.table({"image": images, "caption": ["one", "two"]}), tmp_path / "2.parquet")
    pairs = read_pairs(str(tmp_path), captions=True)
    assert levels(pairs) == [1, 2, 3, 4]
    assert pairs.captions == [["one"], ["two"], ["three", "III"], ["four"]]
    assert levels(read_pairs(str(tmp_path), captions=True, limit=3)) == [1, 2, 3]
    assert read_pairs(str(tmp_path), captions=False).captions == []
    assert count_pairs(str(tmp_path), captions=True) == count_pairs(str(tmp_path), captions=False) == 4


def test_pictures_are_counted_without_reading_them(tmp_path):
    images = pa.array([{"bytes": np.random.default_rng(n).bytes(2**16), "path": None} for n in range(8)], IMAGE)
    pq.write_table(pa.table({"image": images, "caption": ["a thing"] * 8}), tmp_path / "1.parquet")
    shard(tmp_path / "2.tar", {"x.png": b"1" * 2**20, "x.txt": b"one", "y.png": b"2" * 2**20, "y.txt": b"two"})
    tracemalloc.start()
    assert count_pairs(str(tmp_path), captions=True) == 10
    _, python = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert python < 2**19
    (tmp_path / "3.tar").write_bytes(b"no tar at all" * 99)
    with pytest.raises(UserError, match="3.tar' is damaged or compressed"):
        count_pairs(str(tmp_path), captions=True)


def test_damage_is_named(tmp_path):
    (tmp_path / "1.tar").write_bytes(b"no tar at all" * 99)
    with pytest.raises(UserError, match="1.tar' is damaged or compressed"):
        read_pairs(str(tmp_path), captions=False)
    (tmp_path / "1.tar").unlink()
    with pytest.raises(UserError, match="has no Parquet file and no .tar shard"):
        read_pairs(str(tmp_path), captions=False)
    images = pa.array([{"bytes": picture(1), "path": None}], IMAGE)
    pq.write_table(pa.table({"image": images}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="has no column 'caption'; it has image"):
        read_pairs(str(tmp_path), captions=True)
