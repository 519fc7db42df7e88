"""The readers on S3, against a server in this process."""

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from cfray.evaluate.embeddings import Encoder
from cfray.evaluate.fairface import FairFace, FairFaceConfig
from cfray.evaluate.images import list_images
from cfray.evaluate.people import RankingConfig
from cfray.evaluate.utkface import UTKFace, UTKFaceConfig


@pytest.fixture
def bucket(monkeypatch, tmp_path, paint):
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="faces")
    rows = []
    for i in range(6):
        file = paint(tmp_path / f"{i}.jpg", "red" if i % 2 else "blue")
        client.upload_file(str(file), "faces", f"val/{i}.jpg")
        client.upload_file(str(file), "faces", f"utk/2{i}_{i % 2}_0_2017011617452512{i}.jpg")
        rows.append(f"val/{i}.jpg,20-29,{'Female' if i % 2 else 'Male'},White,True")
    labels = "file,age,gender,race,service_test\n" + "\n".join(rows) + "\n"
    client.put_object(Bucket="faces", Key="labels.csv", Body=labels.encode())
    yield "s3://faces"
    server.stop()


def test_images_labels_and_the_cache_on_s3(bucket, clip, settings, monkeypatch):
    settings = type(settings)(**vars(settings) | {"cache": f"{bucket}/cache"})
    config = FairFaceConfig(
        labels=f"{bucket}/labels.csv", images=bucket, padding="1.25", attributes=["gender"], k=[3],
        prompts=["prompts-activities"],
    )  # fmt: skip
    first = FairFace(config, settings).measure(clip)
    seen = clip.model.images_seen
    assert FairFace(config, settings).measure(clip) == first
    assert clip.model.images_seen == seen == 6
    assert list_images(f"{bucket}/val")["0.jpg"].place == "s3://faces/val/0.jpg"


def test_utkface_on_s3(bucket, clip, settings):
    config = UTKFaceConfig(images=f"{bucket}/utk", attributes=["gender"], **RankingConfig(k=[3]).model_dump())
    benchmark = UTKFace(config, settings)
    assert benchmark.report.problems == {}
    vectors = Encoder(clip, settings).images(benchmark.galleries[0]).vectors
    np.testing.assert_array_equal(vectors.argmax(axis=1), [2, 0] * 3)
