"""cluster.yaml, the RayJob, and what `ray job submit --working-dir .` uploads."""

import re
import zipfile
from pathlib import Path

import pytest
import yaml
from ray._private.runtime_env.packaging import create_package
from ray.autoscaler._private.util import prepare_config, validate_config

from cfray.cluster import WAIT

REPOSITORY = Path(__file__).parents[2]

# Fields of KubeRay 1.5.1's types RayJobSpec, RayClusterSpec and its groups, and of the parts of a pod that are used here.
JOB = {
    "activeDeadlineSeconds", "backoffLimit", "rayClusterSpec", "submitterPodTemplate", "metadata", "clusterSelector",
    "submitterConfig", "managedBy", "deletionStrategy", "entrypoint", "runtimeEnvYAML", "jobId", "submissionMode",
    "entrypointResources", "entrypointNumCpus", "entrypointNumGpus", "ttlSecondsAfterFinished", "shutdownAfterJobFinishes",
    "suspend",
}  # fmt: skip
CLUSTER = {
    "headGroupSpec", "workerGroupSpecs", "rayVersion", "enableInTreeAutoscaling", "autoscalerOptions", "headServiceAnnotations",
    "suspend", "managedBy", "gcsFaultToleranceOptions", "authOptions",
}  # fmt: skip
HEAD = {"serviceType", "headService", "enableIngress", "rayStartParams", "template"}
WORKER = {
    "groupName", "replicas", "minReplicas", "maxReplicas", "numOfHosts", "idleTimeoutSeconds", "rayStartParams", "template",
    "scaleStrategy", "suspend",
}  # fmt: skip
POD = {"serviceAccountName", "containers", "volumes", "tolerations", "nodeSelector"}
CONTAINER = {"name", "image", "workingDir", "ports", "resources", "volumeMounts", "env", "envFrom"}
AUTOSCALER = {
    "resources", "image", "imagePullPolicy", "env", "envFrom", "volumeMounts", "securityContext", "idleTimeoutSeconds",
    "upscalingMode", "version",
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster():
    return yaml.safe_load((REPOSITORY / "cluster.yaml").read_text())


def test_the_cluster_is_valid_for_this_ray(cluster):
    validate_config(prepare_config(cluster))
    with pytest.raises(Exception, match="head_node"):
        validate_config(prepare_config(cluster | {"head_node": "no longer a key"}))


def test_the_groups_of_the_cluster(cluster):
    groups = cluster["available_node_types"]
    assert groups["head"]["resources"] == {"CPU": 0}
    assert "GPU" not in groups["cpu"]["resources"]
    assert groups["generate"]["resources"]["GPU"] == 1
    assert groups["generate"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert groups["train"]["resources"]["GPU"] == 8
    assert all(group["node_config"]["IamInstanceProfile"] == {"Name": "cfray-nodes"} for group in groups.values())


def test_no_key_in_the_files_and_the_dashboard_on_loopback(cluster):
    for file in ("cluster.yaml", "jobs/configs/rayjob.yaml"):
        text = (REPOSITORY / file).read_text()
        assert not re.search(r"AKIA|aws_secret|ssh_private_key|BEGIN .*KEY|AWS_SECRET_ACCESS_KEY|password", text, re.IGNORECASE)
    head = " ".join(cluster["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in head
    assert "--num-cpus=0" in head
    assert "RAY_AUTH_MODE=token" in " ".join(cluster["docker"]["run_options"])


def test_jobs_wait_for_nodes_that_start_on_request(cluster):
    assert "--env CFRAY_WAIT_FOR_NODES=1200" in cluster["docker"]["run_options"]
    (head,) = _job()["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"]
    assert head["env"] == [{"name": WAIT, "value": "1200"}]


def test_the_image_is_of_the_pinned_ray(cluster):
    pinned = re.search(r"^ray==(.+)$", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE).group(1)
    assert cluster["docker"]["image"].startswith(f"rayproject/ray:{pinned}-")
    assert _job()["spec"]["rayClusterSpec"]["rayVersion"] == pinned


def test_the_ray_job_has_only_published_fields():
    job = _job()
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]["rayClusterSpec"]
    assert job["spec"].keys() <= JOB
    assert spec.keys() <= CLUSTER
    assert spec["autoscalerOptions"].keys() <= AUTOSCALER
    assert spec["headGroupSpec"].keys() <= HEAD
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    assert all(group.keys() <= WORKER for group in groups[1:])
    for group in groups:
        assert {"rayStartParams", "template"} <= group.keys()
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        assert pod.keys() <= POD
        assert all(container.keys() <= CONTAINER for container in pod["containers"])


def test_the_ray_job_names_a_recipe_that_is_there_and_has_its_gpus():
    job = _job()
    recipe = re.search(r"--config (\S+)", job["spec"]["entrypoint"]).group(1)
    config = yaml.safe_load((REPOSITORY / recipe).read_text())
    needed = sum(config[stage].get("actors", 1) * config[stage]["num_gpus"] for stage in ("base", "masks", "inpaint"))
    needed += config["checks"]["num_gpus"]
    assert job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replicas"] >= needed
    assert "output=s3://" in job["spec"]["entrypoint"]  # a retry is a new cluster


def test_an_upload_is_small_and_whole(tmp_path):
    package = tmp_path / "upload.zip"
    create_package(str(REPOSITORY), package, include_gitignore=True)
    assert package.stat().st_size < 5 * 2**20
    names = [name for name in zipfile.ZipFile(package).namelist() if not name.endswith("/")]
    jobs = {f"jobs/{file.name}" for file in (REPOSITORY / "jobs").glob("*.py")}
    assert jobs | {"cfray/runs.py", "cfray/concepts/data/professions.yaml", "constraints.txt"} <= set(names)
    assert not [name for name in names if name.endswith(".safetensors") or name.startswith(("tests/", "runs/", "."))]


def _job():
    return yaml.safe_load((REPOSITORY / "jobs/configs/rayjob.yaml").read_text())
