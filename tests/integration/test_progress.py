"""The metrics of a running job, asked for where Prometheus does."""

import re
import time
import urllib.request

import ray

from cfray import progress as cfray_progress
from cfray.progress import Progress, shared_progress, shown
from tests.integration.head import until


def gauges(job: str) -> dict[str, float]:
    """Value by name of what the node's metrics endpoint has for a job."""
    (node,) = (node for node in ray.nodes() if node["Alive"])
    with urllib.request.urlopen(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics", timeout=60) as page:
        lines = re.findall(r"^ray_(cfray_\w+)\{(.*)\} (\S+)$", page.read().decode(), re.MULTILINE)
    return {name: float(value) for name, tags, value in lines if f'cfray_job="{job}"' in tags}


def test_gauges_stay_while_a_job_has_nothing_new_to_tell(cluster, monkeypatch):
    monkeypatch.setattr(cfray_progress, "PUBLISH_SECONDS", 0.2)  # Ray of this cluster forgets after 2 s
    in_driver = Progress("alone", 8, unit="alphas")
    with shared_progress("shared", 10) as shared, shown(in_driver.line, in_driver.publish):
        shared.finish.remote(4)
        in_driver.finish(2)
        for job in ("shared", "alone"):
            until(lambda job=job: gauges(job).get("cfray_done"), f"no gauge of {job}")
        until_forgotten = time.monotonic() + 6
        while time.monotonic() < until_forgotten:
            assert gauges("shared").items() >= {"cfray_done": 4, "cfray_planned": 10}.items()
            assert gauges("alone").items() >= {"cfray_done": 2, "cfray_planned": 8}.items()
            assert gauges("shared")["cfray_eta_seconds"] > 0
            time.sleep(0.5)
    until(lambda: not gauges("alone"), "the gauges of a job that has ended are forgotten")
