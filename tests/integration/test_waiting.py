"""Jobs on a cluster that scales by itself: Ray's own autoscaler, whose nodes are processes on this machine."""

import json
import sys

import pytest

from tests.integration.head import free_port, started_head

ASKS = """
import sys, ray
from cfray.cluster import require_workers
from cfray.errors import UserError
ray.init(address=sys.argv[1], log_to_driver=False)
print("nodes before:", ray.cluster_resources().get("GPU", 0))
try:
    require_workers(int(sys.argv[2]), 1, 1)
    print("room")
except UserError as error:
    print("refused:", error)
"""
GROUP = {"resources": {"CPU": 1, "GPU": 1, "object_store_memory": 80_000_000}, "node_config": {}, "min_workers": 0}


@pytest.mark.slow
def test_nodes_that_are_not_there_yet_are_asked_for_and_waited_for(tmp_path):
    port = free_port()
    commands = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    config = {
        "cluster_name": "pretended", "max_workers": 2, "upscaling_speed": 1.0, "idle_timeout_minutes": 5, "auth": {},
        "provider": {"type": "fake_multinode", "gcs_address": f"127.0.0.1:{port}", "disable_node_updaters": True}, "docker": {},
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "gpu": GROUP | {"max_workers": 2},
        },
        "file_mounts": {}, "cluster_synced_files": [], "file_mounts_sync_continuously": False, "rsync_exclude": [],
        "rsync_filter": [], **{f"{name}_commands": [] for name in commands},
    }  # fmt: skip
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps(config))
    variables = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    with started_head("--num-cpus=0", f"--autoscaling-config={file}", port=port, variables=variables) as head:

        def ask(workers: int, seconds: str) -> list[str]:
            head.environment["CFRAY_WAIT_FOR_NODES"] = seconds
            done = head.run(sys.executable, "-c", ASKS, head.gcs, str(workers))
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout.splitlines()

        refused = (
            "refused: workers={} with 1 CPUs each do not fit the cluster: they need {} CPUs, the cluster has {}; lower workers"
        )
        assert ask(2, "0") == ["nodes before: 0", refused.format(2, 2, 0)]
        waited = ask(2, "300")
        assert waited[1] == "[cluster] waiting for nodes: 0 of 2 CPUs after 0 of at most 300 s"
        assert waited[-1] == "room"
        assert ask(3, "5")[-1] == refused.format(3, 3, 2)
