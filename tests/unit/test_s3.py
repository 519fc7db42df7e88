"""Storage on S3 against moto's HTTP server: a custom endpoint, addressed path-style."""

import itertools
import os
import pickle

import boto3
import pytest

from cfray import s3, storage
from cfray.errors import UserError


@pytest.fixture
def bucket(object_store, request):
    return object_store.create_bucket(f"b{abs(hash(request.node.name))}")


def test_write_read_list_remove(bucket):
    place = f"{bucket}/run"
    for name, content in (("b/two.txt", b"2"), ("one.txt", b"1"), ("one.txt", b"1!"), (".half.partial", b"")):
        storage.write_bytes(f"{place}/{name}", content)
    assert storage.read_bytes(f"{place}/one.txt") == b"1!"
    assert list(storage.list_files(place)) == [f"{place}/b/two.txt", f"{place}/one.txt"]
    assert list(storage.list_files(place, "two.txt")) == [f"{place}/b/two.txt"]
    assert list(storage.list_files(f"{bucket}/ru")) == []
    for _ in range(2):
        storage.remove(f"{place}/one.txt")
    assert not storage.exists(f"{place}/one.txt")
    with pytest.raises(UserError, match="not found"):
        storage.read_bytes(f"{place}/one.txt")


def test_the_write_probe_leaves_nothing(bucket):
    storage.require_writable(f"{bucket}/new/run")
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=bucket.removeprefix("s3://"))


def test_a_bucket_that_is_not_there(object_store):
    with pytest.raises(UserError, match="cannot be written"):
        storage.require_writable("s3://nowhere/run")
    with pytest.raises(UserError, match="bucket 'nowhere' of 's3://nowhere/run' not found"):
        list(storage.list_files("s3://nowhere/run"))
    with pytest.raises(UserError, match="has no bucket"):
        storage.exists("s3:///key")


def test_keys_come_a_page_at_a_time(bucket, object_store):
    object_store.put(bucket, {f"parts/{number:06}.parquet": b"" for number in range(2_100)})
    before = object_store.requests
    files = storage.list_files(f"{bucket}/parts", ".parquet")
    first = list(itertools.islice(files, 10))
    assert object_store.requests == before + 1  # the first page of three
    assert first + list(files) == [f"{bucket}/parts/{number:06}.parquet" for number in range(2_100)]


def test_folders_go_up_and_down_with_checksums(bucket, tmp_path):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "a.bin").write_bytes(b"a" * 100)
    (source / "large.bin").write_bytes(os.urandom(20 * 2**20))
    storage.upload_folder(source, f"{bucket}/model")
    copy = storage.download_folder(f"{bucket}/model", tmp_path / "back")
    assert (copy / "large.bin").read_bytes() == (source / "large.bin").read_bytes()
    assert boto3.client("s3").head_object(Bucket=bucket.removeprefix("s3://"), Key="model/large.bin")["ETag"].endswith('-3"')
    storage.write_bytes(f"{bucket}/model/deep/a.bin", b"b" * 100)
    with pytest.raises(UserError, match=r"model/deep/a.bin' is damaged"):
        storage.download_folder(f"{bucket}/model", tmp_path / "damaged")
    storage.remove(f"{bucket}/model/deep/a.bin")
    with pytest.raises(UserError, match=r"has no deep/a.bin"):
        storage.download_folder(f"{bucket}/model", tmp_path / "hole")


def test_a_key_that_points_out_of_its_folder_is_refused(bucket, tmp_path):
    boto3.client("s3").put_object(Bucket=bucket.removeprefix("s3://"), Key="model/../../escaped.txt", Body=b"x")
    with pytest.raises(UserError, match="points out of its folder"):
        storage.download_folder(f"{bucket}/model", tmp_path / "a" / "b")
    assert not list(tmp_path.rglob("escaped.txt"))


def test_faults_are_repeated(bucket, object_store, tmp_path):
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "large.bin").write_bytes(os.urandom(12 * 2**20))
    object_store.faults.clear()
    object_store.share = 0.1
    for number in range(12):
        place = f"{bucket}/{number}"
        storage.write_bytes(place, str(number).encode())
        assert storage.read_bytes(place) == str(number).encode()
        assert storage.exists(place)
    storage.upload_folder(tmp_path / "up", f"{bucket}/up")
    storage.download_folder(f"{bucket}/up", tmp_path / "down")
    assert len(list(storage.list_files(bucket))) == 14
    assert object_store.faults.total() >= 3


def test_what_stays_broken_is_an_error(bucket, object_store, monkeypatch):
    monkeypatch.setattr(s3, "ATTEMPTS", 2)
    monkeypatch.setenv("AWS_PROFILE_FOR_THIS_TEST", "1")  # other settings, so a new connection
    object_store.share = 1.0
    with pytest.raises(OSError, match="INTERNAL_FAILURE|SLOW_DOWN|NETWORK_CONNECTION"):
        storage.write_bytes(f"{bucket}/file", b"x")
    with pytest.raises(OSError, match=f"{bucket}/file"):
        storage.remove(f"{bucket}/file")


def test_the_endpoint_may_stand_in_a_profile(bucket, object_store, tmp_path, monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(f"[profile minio]\nendpoint_url = {object_store.endpoint}\nregion = us-east-1\n")
    (tmp_path / "credentials").write_text("[minio]\naws_access_key_id = test\naws_secret_access_key = test\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "minio")
    storage.write_bytes(f"{bucket}/file", b"x")
    assert list(storage.list_files(bucket)) == [f"{bucket}/file"]


def test_the_connection_keeps_its_endpoint_and_retries_in_a_worker(bucket, object_store):
    filesystem, path = storage.resolve(f"{bucket}/file")
    again = pickle.loads(pickle.dumps(filesystem))
    assert type(again) is s3.S3
    object_store.share = 0.5
    with again.open_output_stream(path) as stream:
        stream.write(b"x")
    object_store.share = 0.0
    assert storage.read_bytes(f"{bucket}/file") == b"x"


@pytest.mark.parametrize("kind", ["quota", "bucket quota", "disks"])
def test_a_full_storage_is_one_line(bucket, object_store, tmp_path, kind):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "large.bin").write_bytes(bytes(12 * 2**20))
    (tmp_path / "small").write_bytes(b"x")
    object_store.full = kind
    with pytest.raises(UserError, match=f"no space left to write '{bucket}/parts/one'; free some and run the job again"):
        storage.write_bytes(f"{bucket}/parts/one", b"x")
    with pytest.raises(UserError, match=f"no space left to write '{bucket}/parts/large.bin'; free some"):
        storage.upload_folder(tmp_path, bucket)
    object_store.full = None
    storage.upload_folder(tmp_path, bucket)
    assert storage.read_bytes(f"{bucket}/parts/large.bin") == bytes(12 * 2**20)
