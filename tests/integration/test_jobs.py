"""Jobs as their users run them: scripts with a configuration file, each with a Ray cluster of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
import yaml

from cfray.dataset import store
from tests.integration.conftest import REPOSITORY, small_recipe

# A job must join neither the cluster of the test session nor a dead one, whose address Ray keeps in a file.
ENVIRONMENT = os.environ | {"RAY_ADDRESS": "local", "PYTHONUNBUFFERED": "1"}


def run(job, *arguments, timeout=900):
    return subprocess.run(
        [sys.executable, f"jobs/{job}.py", *map(str, arguments)],
        cwd=REPOSITORY, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip


def images(dataset) -> dict[str, list[bytes]]:
    rows = store.read_sets(dataset, status=None).to_pylist()
    return {row["set_id"]: [row["base"]["bytes"], *(v["image"]["bytes"] for v in row["variants"])] for row in rows}


@pytest.mark.parametrize(
    ("job", "arguments", "message"),
    [
        ("generate", ["outptu=x"], "unknown configuration key 'outptu'; known here: output, concepts"),
        ("train", ["--config", "nowhere.yaml"], "configuration file 'nowhere.yaml' not found"),
        ("evaluate", ["output=x", "base=world:clip", "tuned=y"], "configuration key 'benchmarks' is missing"),
    ],
)
def test_a_bad_configuration_is_one_line_and_exit_code_2(job, arguments, message):
    done = run(job, *arguments)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: " + message)
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_killed_driver_loses_and_doubles_nothing(dataset, tmp_path):
    config = tmp_path / "generate.yaml"
    config.write_text(yaml.safe_dump(small_recipe(tmp_path / "sets").model_dump(mode="json")))
    victim = subprocess.Popen(
        [sys.executable, "jobs/generate.py", "--config", str(config)], cwd=REPOSITORY, env=ENVIRONMENT, start_new_session=True
    )
    parts = tmp_path / "sets" / "parts"
    deadline = time.monotonic() + 600
    while not (parts.is_dir() and list(parts.glob("[!.]*.parquet"))):
        assert victim.poll() is None, "the job ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    assert 0 < len(store.finished_ids(str(tmp_path / "sets"))) <= 8
    done = run("generate", "--config", config)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"result: {tmp_path / 'sets'}"
    assert sorted(store.finished_ids(str(tmp_path / "sets"))) == sorted(store.finished_ids(dataset))
    assert images(str(tmp_path / "sets")) == images(dataset)


@pytest.mark.slow
def test_a_killed_actor_loses_and_doubles_nothing(dataset, tmp_path):
    config = tmp_path / "generate.yaml"
    config.write_text(yaml.safe_dump(small_recipe(tmp_path / "sets").model_dump(mode="json")))
    job = subprocess.Popen([sys.executable, "jobs/generate.py", "--config", str(config)], cwd=REPOSITORY, env=ENVIRONMENT)
    killed = 0
    while job.poll() is None:
        for process in psutil.process_iter(["cmdline"]):
            title = " ".join(process.info["cmdline"] or [])
            if killed == 0 and re.match(r"ray::.*Inpainter", title) and (tmp_path / "sets" / "plan.parquet").exists():
                process.kill()
                killed += 1
        time.sleep(0.2)
    assert killed == 1
    assert job.returncode == 0
    assert images(str(tmp_path / "sets")) == images(dataset)


@pytest.mark.slow
def test_the_demo_in_small(tmp_path):
    """The whole path with two professions; the second run only verifies."""
    config = yaml.safe_load((REPOSITORY / "jobs/configs/demo.yaml").read_text())
    config["output"] = str(tmp_path / "demo")
    config["generate"] |= {"sets_per_concept": 4, "concepts": {"file": "world-professions", "names": ["doctor", "chef"]}}
    config["train"] |= {"steps": 4, "sets_per_batch": 4, "images_per_set": 3}
    config["evaluate"] |= {"alphas": [0, 0.5, 1], "bootstrap": 20, "floor_permutations": 20}
    file = tmp_path / "demo.yaml"
    file.write_text(yaml.safe_dump(config))
    first = run("demo", "--config", file)
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[-1] == f"result: {tmp_path / 'demo' / 'report.html'}"
    result = json.loads((tmp_path / "demo" / "result.json").read_text())
    assert result["schema"] == 1
    assert result["sets"]["planned"] == 8
    assert result["sets"]["kept"] + sum(result["sets"]["rejected"].values()) + result["sets"]["failed"] == 8
    assert [point["alpha"] for point in result["alphas"]] == [0, 0.5, 1]
    assert result["recommended_alpha"] in (0, 0.5, 1)
    assert (tmp_path / "demo" / "evaluate" / "recommended" / "open_clip_model.safetensors").is_file()
    page = (tmp_path / "demo" / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "demo").rglob("*.parquet")}
    second = run("demo", "--config", file)
    assert second.returncode == 0, second.stderr
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "demo").rglob("*.parquet")} == before
    assert json.loads((tmp_path / "demo" / "result.json").read_text())["alphas"] == result["alphas"]
