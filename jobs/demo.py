"""The whole path over the embedded world: sets, fine-tuning, evaluation over alpha, result.json and report.html.

Needs two CPUs and 8 GB; takes about ten minutes. A second run verifies the first and points to its result again.
"""

import ray

from cfray.demo import DemoConfig, run_demo
from cfray.runs import run_job


def main(config: DemoConfig) -> str:
    with ray.init():  # left before the result is printed, so that no worker's late line follows it
        return run_demo(config)


if __name__ == "__main__":
    run_job(DemoConfig, __doc__, main)
