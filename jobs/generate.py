"""Make a data set of counterfactual sets: captions, base images, person masks, counterfactuals, checks.

Needs the CPUs and GPUs of its stage pools at once (stage.actors x stage.num_cpus / num_gpus).
"""

import ray

from cfray.generate.config import GenerateConfig
from cfray.generate.pipeline import generate
from cfray.runs import run_job


def main(config: GenerateConfig) -> str:
    with ray.init():  # left before the result is printed, so that no worker's late line follows it
        counts = generate(config)["result"]["sets"]
    print(f"sets: {counts['planned']} planned, {counts['kept']} kept, rejected {counts['rejected']}, failed {counts['failed']}")
    return config.output


if __name__ == "__main__":
    run_job(GenerateConfig, __doc__, main)
