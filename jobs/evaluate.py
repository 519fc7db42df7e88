"""Measure fairness and accuracy of the blend of two CLIPs over alpha and recommend an alpha.

Needs workers x cpus_per_worker CPUs (and workers x gpus_per_worker GPUs) at once.
"""

import ray

from cfray.evaluate.config import EvaluateConfig
from cfray.evaluate.suite import evaluate
from cfray.runs import run_job


def main(config: EvaluateConfig) -> str:
    with ray.init():  # left before the result is printed, so that no worker's late line follows it
        result = evaluate(config)["result"]
    for point in result["alphas"]:
        accuracy = ", ".join(f"{key} {value:.3f}" for key, value in point["accuracy"].items())
        skew = ", ".join(
            f"{attribute} {key} {row['uniform']['value']:.3f} (floor {row['uniform']['floor']:.3f})"
            for attribute, summary in next(iter(point["fairness"].values())).items()
            for key, row in summary.items()
            if key.startswith("maxskew@")
        )
        print(f"alpha {point['alpha']:.1f}: {skew}; {accuracy}")
    print(f"recommended alpha {result['recommended_alpha']}: {result['checkpoint']}")
    return config.output


if __name__ == "__main__":
    run_job(EvaluateConfig, __doc__, main)
