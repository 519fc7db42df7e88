"""Examine every node of the cluster: versions, GPUs, memory, storage, models, clock. Exit code 1 if something is wrong.

Needs no CPU and no GPU: it runs beside other jobs.
"""

import ray

from cfray.doctor import DoctorConfig, as_table, examine_cluster
from cfray.runs import run_job


def main(config: DoctorConfig) -> str:
    with ray.init():  # left before the result is printed, so that no worker's late line follows it
        nodes = examine_cluster(config)
    print(as_table(nodes))
    problems = sum(len(node.problems) for node in nodes)
    if problems:
        print(f"result: {problems} problems on {sum(bool(node.problems) for node in nodes)} of {len(nodes)} nodes")
        raise SystemExit(1)
    return f"{len(nodes)} nodes, no problem"


if __name__ == "__main__":
    run_job(DoctorConfig, __doc__, main)
