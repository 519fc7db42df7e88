"""Debias a frozen CLIP by a transform of its embeddings: the joint method, CLIP-clip, biased prompts or the closed form.

Runs as one task with num_cpus CPUs (and num_gpus GPUs, which make embedding the pictures fast).
"""

import ray

from cfray.debias.config import DebiasConfig
from cfray.debias.job import debias_on_cluster, preflight
from cfray.runs import run_job


def main(config: DebiasConfig) -> str:
    preflight(config)
    with ray.init():  # left before the result is printed, so that no worker's late line follows it
        return debias_on_cluster(config)["result"]["model"]


if __name__ == "__main__":
    run_job(DebiasConfig, __doc__, main)
