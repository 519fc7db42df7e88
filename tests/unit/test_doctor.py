import importlib.metadata

import pytest

from cfray import doctor
from cfray.errors import UserError


def test_versions_are_compared_by_any_spelling_of_a_name():
    here = importlib.metadata.version("open_clip_torch")
    assert doctor.check_versions(f"Open-CLIP.torch=={here}\nnot-installed==1\n").startswith("1 as pinned")
    with pytest.raises(UserError, match=f"open-clip-torch is {here}, not 0.1, ray is "):
        doctor.check_versions("open_clip_torch==0.1\nray==0.2\n")


def test_gpus_must_be_those_that_ray_counts_and_new_enough():
    lines = ["NVIDIA L4, 22000, 23034, 580.95.05", "NVIDIA L4, 10240, 23034, 580.95.05"]
    assert doctor.describe_gpus(lines, 2, "13.0") == "2 x NVIDIA L4, 10 of 22 GiB free, driver 580.95.05"
    assert doctor.describe_gpus([], 0, "13.0") == "none"
    with pytest.raises(UserError, match="Ray counts 1 GPUs, nvidia-smi lists 2"):
        doctor.describe_gpus(lines, 1, "13.0")
    with pytest.raises(UserError, match="driver 535.1 is too old for torch's CUDA 13.0, which needs 580"):
        doctor.describe_gpus(["NVIDIA A10G, 1, 2, 535.1"], 1, "13.0")
    with pytest.raises(UserError, match="without CUDA"):
        doctor.describe_gpus(lines, 2, None)


def test_storage_is_written_read_listed_and_left_clean(tmp_path):
    assert doctor.check_storage(str(tmp_path)).startswith("write ")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        doctor.check_storage(str(tmp_path / "file"))


def test_models_are_looked_for(tmp_path):
    assert doctor.check_model("world:clip") == "world:clip there"
    with pytest.raises(UserError, match="not in the embedded world"):
        doctor.check_model("world:vit")
    with pytest.raises(UserError, match="not found"):
        doctor.check_model(str(tmp_path / "nowhere"))


def test_a_full_disk_is_a_problem():
    with pytest.raises(UserError, match="less than min_free_disk"):
        doctor.check_memory(10**9)


def test_the_table_has_a_row_a_node_and_a_line_a_problem():
    nodes = [doctor.Node("a", {"GPUs": "none", "clock": "+0.0 s"}), doctor.Node("b2", {"GPUs": "FAIL"}, ["GPUs: gone"])]
    assert doctor.as_table(nodes).splitlines() == [
        "node  GPUs  clock",
        "a     none  +0.0 s",
        "b2    FAIL  -",
        "b2: GPUs: gone",
    ]
