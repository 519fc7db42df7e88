"""Two torch processes with two threads each on two cores are several times slower than with one each."""

import os
import runpy
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A busy machine is no failure: speed belongs in benchmarks.
settings.register_profile("cfray", deadline=None)
settings.load_profile("cfray")


@pytest.fixture(scope="session")
def s3_server():
    from tests.object_store import ObjectStore  # moto takes seconds to import

    server = ObjectStore()
    yield server
    server.stop()


@pytest.fixture
def object_store(s3_server, monkeypatch):
    """An S3 server that this process finds by its environment, without faults unless the test asks for some."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    yield s3_server
    s3_server.share, s3_server.full = 0.0, None


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory) -> dict[str, str]:
    """Folders of tiny random checkpoints of production's architectures, by name."""
    from tests import checkpoints as tiny  # diffusers takes seconds to import, and most tests do without

    root = tmp_path_factory.mktemp("checkpoints")
    return {
        "sdxl": tiny.save_sdxl(root / "sdxl"),
        "sdxl-inpaint": tiny.save_sdxl(root / "sdxl-inpaint", inpainting=True),
        "parser": tiny.save_segformer(root / "parser"),
        "parser-face": tiny.save_segformer(root / "parser-face", favour="Face"),
        "parser-background": tiny.save_segformer(root / "parser-background", favour="Background"),
        "ade": tiny.save_segformer(root / "ade", labels=("wall", "person", "car"), favour="person"),
        "llama": tiny.save_llama(root / "llama"),
        "safety-flags": tiny.save_safety_checker(root / "safety-flags", flags=True),
        "safety-passes": tiny.save_safety_checker(root / "safety-passes", flags=False),
    }


@pytest.fixture(scope="session")
def places(tmp_path_factory) -> dict[str, str]:
    """Parquet files of labelled portraits for a classifier, train and test."""
    from tests.portraits import write_portraits

    folder = tmp_path_factory.mktemp("portraits")
    return {"train": write_portraits(folder / "train.parquet", 72, 1), "test": write_portraits(folder / "test.parquet", 48, 2)}


@pytest.fixture(scope="session")
def real_data():
    """The folder of real material, from CFRAY_REAL_DATA or beside the repository."""
    folder = Path(os.environ.get("CFRAY_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "fairface").is_dir():
        pytest.skip(f"real material not found at {folder}; set CFRAY_REAL_DATA")
    return folder


@pytest.fixture(scope="session")
def lit_folder(real_data, tmp_path_factory) -> str:
    """The folder of the real-photo model, as open_clip wants it: a timm image tower and a Hugging Face text tower."""
    export = runpy.run_path(str(ROOT / "benchmarks" / "lit_effnet_minilm.py"))["export"]
    return str(export(real_data / "models" / "lit_effnet_minilm", tmp_path_factory.mktemp("lit")))
