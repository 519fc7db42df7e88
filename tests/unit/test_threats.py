"""What comes from outside is refused where it could do harm; docs/threats.md says what is trusted and what is not."""

import io
import os
import pickle
import socket
import struct
import tarfile
import zlib

import pytest
import torch

from cfray import storage
from cfray.clip.model import CONFIG_FILE, WEIGHTS_FILE, load_clip
from cfray.errors import UserError
from cfray.evaluate.images import UnreadableError, decode, list_images
from cfray.evaluate.reading import ReadReport, match_images
from cfray.evaluate.webdataset import read_shards
from cfray.generate.config import MaskConfig
from cfray.generate.parser import PersonParser
from cfray.world.models import model_path


class Attack:
    """Runs a command when it is unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def mark(tmp_path):
    """A file that an attack makes; it must not be there at the end."""
    yield tmp_path / "attacked"
    assert not (tmp_path / "attacked").exists()


def png(width: int, height: int, rows: int = 1) -> bytes:
    """A valid head of a PNG that claims a size, with the data of a few rows."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(3 * width + 1) * rows)) + chunk(b"IEND", b"")


def test_a_pickled_clip_is_not_loaded(tmp_path, mark):
    folder = tmp_path / "clip"
    folder.mkdir()
    (folder / CONFIG_FILE).write_bytes(storage.read_bytes(f"{model_path('world:clip')}/{CONFIG_FILE}"))
    for name in ("open_clip_pytorch_model.bin", "pytorch_model.bin"):
        torch.save(Attack(mark), folder / name)
    with pytest.raises(UserError, match=f"has no {WEIGHTS_FILE}"):
        load_clip(str(folder))
    # Nor under the name of what is loaded.
    torch.save(Attack(mark), folder / WEIGHTS_FILE)
    with pytest.raises(UserError, match="cannot be loaded"):
        load_clip(str(folder))


def test_a_pickled_parser_is_not_loaded(tmp_path, mark):
    for file in storage.list_files(model_path("world:parser"), ".json"):
        storage.write_bytes(f"{tmp_path}/parser/{file.rpartition('/')[2]}", storage.read_bytes(file))
    torch.save(Attack(mark), tmp_path / "parser" / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot be loaded"):
        PersonParser(MaskConfig(model=str(tmp_path / "parser")))


def test_the_state_of_a_checkpoint_is_read_without_code(tmp_path, mark):
    # As the training loop and the training job read it.
    torch.save(Attack(mark), tmp_path / "state.pt")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "state.pt", weights_only=True)


@pytest.mark.parametrize("call", ["torch.load(", "pickle.load", "trust_remote_code"])
def test_no_code_unpickles_or_trusts_remote_code(call):
    for file in storage.list_files("cfray", ".py"):
        lines = [line for line in storage.read_bytes(file).decode().splitlines() if call in line]
        assert all("weights_only=True" in line for line in lines), file


def test_a_decompression_bomb_is_not_decoded():
    with pytest.raises(UnreadableError, match="decompression bomb"):
        decode(png(60_000, 60_000))


def test_a_damaged_image_is_counted_and_not_shown():
    for content in (b"", b"GIF89a", png(100, 100)[:40], b"<svg onload='alert(1)'/>"):
        with pytest.raises(UnreadableError):
            decode(content)


def test_a_table_of_labels_reaches_only_what_lies_in_its_folder(tmp_path):
    for name in ("secret.png", "images/a.png"):
        storage.write_bytes(str(tmp_path / name), png(4, 4, rows=4))
    outside = ["../secret.png", "/etc/passwd", "images/../../secret.png", "s3://other/secret.png", "https://host/secret.png"]
    images, report = list_images(str(tmp_path / "images")), ReadReport("labels")
    assert match_images(["a.png", *outside], images, report, "labels.csv", "images") == ["a.png"]
    assert report.problems == {"rows without an image": outside}


def test_members_of_an_archive_are_read_in_place(tmp_path):
    content = png(4, 4, rows=4)
    (tmp_path / "shards").mkdir()
    with tarfile.open(tmp_path / "shards" / "0.tar", "w") as archive:
        for name in ("../../escaped.png", "/tmp/escaped.png"):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    samples = read_shards(str(tmp_path / "shards"), ReadReport("shards"))
    assert len(samples) == 2
    assert all(sample.picture.read() == content for sample in samples.values())
    assert [path.name for path in tmp_path.rglob("*")] == ["shards", "0.tar"]


@pytest.mark.parametrize(
    "place", ["http://169.254.169.254/latest/meta-data/", "https://host/x.png", "file:///etc/passwd", "ftp://h/x"]
)
def test_an_address_is_no_place(place, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was made"))
    with pytest.raises(UserError, match="scheme that cannot be read"):
        storage.read_bytes(place)
