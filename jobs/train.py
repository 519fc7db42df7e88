"""Fine-tune a CLIP on counterfactual sets with L = beta_clip * L_CLIP + beta_cf * L_cf.

Needs workers x cpus_per_worker CPUs (and workers x gpus_per_worker GPUs) at once.
"""

import ray

from cfray.runs import run_job
from cfray.train.config import TrainConfig
from cfray.train.job import train


def main(config: TrainConfig) -> str:
    with ray.init():  # left before the result is printed, so that no worker's late line follows it
        return train(config)["result"]["checkpoint"]


if __name__ == "__main__":
    run_job(TrainConfig, __doc__, main)
