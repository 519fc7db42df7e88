from cfray.config import build_config
from cfray.doctor import DoctorConfig, as_table, examine_cluster
from tests.integration.conftest import REPOSITORY


def config(output, **changes) -> DoctorConfig:
    data = {"output": str(output), "constraints": str(REPOSITORY / "constraints.txt"), "min_free_disk": 0}
    return build_config(DoctorConfig, data | changes)


def test_a_sound_cluster_has_no_problem(cluster, tmp_path):
    (node,) = examine_cluster(config(tmp_path))
    assert node.problems == []
    assert set(node.cells) == {"versions", "memory", "GPUs", "storage", "models", "clock"}
    assert node.cells["GPUs"] == "none"
    assert list(tmp_path.iterdir()) == []


def test_problems_are_found_on_the_node_and_named(cluster, tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "constraints.txt").write_text("ray==0.1\n")
    changes = {"models": ["world:vit"], "constraints": str(tmp_path / "constraints.txt")}
    (node,) = examine_cluster(config(tmp_path / "file" / "runs", **changes))
    assert [problem.partition(":")[0] for problem in node.problems] == ["versions", "storage", "models"]
    assert "FAIL" in as_table([node])
