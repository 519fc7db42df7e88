"""Jobs submitted to the job server of a real head, with token authentication on."""

import re
import urllib.error
import urllib.request

import pytest
import yaml

from tests.integration.conftest import REPOSITORY, small_recipe
from tests.integration.head import started_head, until

JOBS = sorted(file.stem for file in (REPOSITORY / "jobs").glob("*.py"))


@pytest.fixture(scope="module")
def head():
    with started_head("--num-cpus=2") as head:
        yield head


@pytest.mark.slow
def test_without_the_token_nothing_is_served(head):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{head.address}/api/jobs/", timeout=60)
    assert refused.value.code == 401
    refused = head.submit("jobs/plan.py", "--help", token=False)
    assert refused.returncode != 0
    assert "401" in refused.stdout + refused.stderr or "token" in (refused.stdout + refused.stderr).lower()


@pytest.mark.slow
def test_help_says_what_a_job_needs(head):
    done = head.submit("jobs/plan.py", "--help")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Only measure_sets needs a cluster" in done.stdout
    assert "succeeded" in done.stdout


@pytest.mark.slow
def test_a_bad_configuration_fails_every_job_with_exit_code_2(head):
    client = head.client()
    runtime = {"working_dir": str(REPOSITORY)}
    for job in JOBS:
        client.submit_job(entrypoint=f"python jobs/{job}.py outptu=x", submission_id=f"bad-{job}", runtime_env=runtime)
    for job in JOBS:
        until(lambda job=job: client.get_job_status(f"bad-{job}").is_terminal(), f"{job} does not end")
        info, log = client.get_job_info(f"bad-{job}"), client.get_job_logs(f"bad-{job}")
        assert (info.status, info.driver_exit_code) == ("FAILED", 2), log
        assert log.strip().splitlines()[-1].startswith("error: unknown configuration key 'outptu'"), log
        assert "Traceback" not in log


@pytest.mark.slow
def test_a_job_is_stopped_submitted_again_and_says_where_its_result_is(head, tmp_path):
    one = {"concepts": {"file": "world-professions", "names": ["chef"]}, "sets_per_concept": 2, "rows_per_file": 1}
    recipe = small_recipe(tmp_path / "sets", **one).model_dump(mode="json")
    for stage in ("base", "masks", "inpaint"):
        recipe[stage]["num_cpus"] = 0.3
    config = tmp_path / "generate.yaml"
    config.write_text(yaml.safe_dump(recipe))
    begun = head.submit("jobs/generate.py", "--config", str(config), options=("--no-wait", "--submission-id", "first"))
    assert begun.returncode == 0, begun.stdout + begun.stderr
    client = head.client()
    head.wait_for_line("first", "2 sets to make")
    stopped = head.ray("job", "stop", "first")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert client.get_job_status("first") == "STOPPED"
    assert "result:" not in client.get_job_logs("first")
    done = head.submit("jobs/generate.py", "--config", str(config), options=("--submission-id", "second"))
    assert done.returncode == 0, done.stdout + done.stderr
    log = client.get_job_logs("second").strip().splitlines()
    assert log[-1] == f"result: {tmp_path / 'sets'}"
    assert re.search(r"^sets: 2 planned", "\n".join(log), re.MULTILINE)
