"""Train a classifier that is fair between groups nobody labelled: CLIP infers them, training re-samples their weak cells.

Needs workers x cpus_per_worker CPUs (and workers x gpus_per_worker GPUs) at once.
"""

import ray

from cfray import storage
from cfray.groups.config import ClassifyConfig
from cfray.groups.job import classify
from cfray.report.classifier import as_text
from cfray.runs import run_job


def main(config: ClassifyConfig) -> str:
    with ray.init():  # left before the result is printed, so that no worker's late line follows it
        result = classify(config)["result"]
    print(as_text(result))
    return storage.join(config.output, "report.html")


if __name__ == "__main__":
    run_job(ClassifyConfig, __doc__, main)
