import errno
import os
import subprocess

import pytest

from cfray import storage
from cfray.errors import UserError


def test_write_read_list_remove(tmp_path):
    place = str(tmp_path / "run")
    storage.write_bytes(storage.join(place, "b", "two.txt"), b"2")
    storage.write_bytes(storage.join(place, "one.txt"), b"1")
    storage.write_bytes(storage.join(place, "one.txt"), b"1!")
    assert storage.read_bytes(storage.join(place, "one.txt")) == b"1!"
    assert list(storage.list_files(place)) == [f"{place}/b/two.txt", f"{place}/one.txt"]
    assert list(storage.list_files(place, "two.txt")) == [f"{place}/b/two.txt"]
    storage.remove(storage.join(place, "one.txt"))
    storage.remove(storage.join(place, "one.txt"))
    assert not storage.exists(storage.join(place, "one.txt"))


def test_a_failed_write_leaves_the_old_content(tmp_path, monkeypatch):
    place = str(tmp_path / "file")
    storage.write_bytes(place, b"old")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        storage.write_bytes(place, b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_folders_go_up_and_down(tmp_path):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "a.bin").write_bytes(b"a")
    storage.upload_folder(source, str(tmp_path / "there"))
    copy = storage.download_folder(str(tmp_path / "there"), tmp_path / "back")
    assert (copy / "deep" / "a.bin").read_bytes() == b"a"
    with pytest.raises(UserError, match="empty or not found"):
        storage.download_folder(str(tmp_path / "nowhere"), tmp_path / "back")


def test_a_folder_whose_files_changed_is_refused(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"whole")
    storage.verify_folder(tmp_path / "model")  # one without checksums
    storage.write_checksums(tmp_path / "model")
    storage.verify_folder(tmp_path / "model")
    assert subprocess.run(["sha256sum", "--check", storage.CHECKSUMS], cwd=tmp_path / "model").returncode == 0
    (tmp_path / "model" / "weights").write_bytes(b"who")
    with pytest.raises(UserError, match="model/weights' is damaged"):
        storage.verify_folder(tmp_path / "model")
    (tmp_path / "model" / "weights").unlink()
    with pytest.raises(UserError, match="has no weights"):
        storage.verify_folder(tmp_path / "model")


def test_files_come_in_the_order_of_s3(tmp_path):
    names = ["a-b/x", "a/y", "a.txt", "b", "a/b/c"]
    for name in names:
        storage.write_bytes(str(tmp_path / name), b"")
    assert list(storage.list_files(str(tmp_path))) == sorted(str(tmp_path / name) for name in names)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line(tmp_path, monkeypatch, error):
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(error, os.strerror(error))))
    with pytest.raises(UserError, match="no space left to write .*file'; free some and run the job again"):
        storage.write_bytes(str(tmp_path / "file"), b"new")
    assert os.listdir(tmp_path) == []


def test_missing_file_and_unknown_scheme(tmp_path):
    with pytest.raises(UserError, match="not found"):
        storage.read_bytes(str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="scheme"):
        storage.exists("ftp9://host/x")


def test_the_write_probe_leaves_nothing(tmp_path):
    storage.require_writable(str(tmp_path / "new" / "run"))
    assert os.listdir(tmp_path) == []


def test_a_file_in_the_way_cannot_be_written_below(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be written"):
        storage.require_writable(str(tmp_path / "file" / "run"))
