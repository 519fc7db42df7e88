"""Measure fairness and accuracy of the blend of two CLIPs over alpha and recommend an alpha.

With ``compare`` as first argument: put several models in one table, each against a reference.
Needs workers x cpus_per_worker CPUs (and workers x gpus_per_worker GPUs) at once.
"""

import sys

import ray

from cfray import storage
from cfray.evaluate.compare import compare
from cfray.evaluate.compare_tables import as_text
from cfray.evaluate.config import CompareConfig, EvaluateConfig
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
        print(f"alpha {point['alpha']:g}: {skew}; {accuracy}")
    print(f"recommended alpha {result['recommended_alpha']}: {result['checkpoint']}")
    return config.output


def main_compare(config: CompareConfig) -> str:
    with ray.init():
        result = compare(config)["result"]
    print(as_text(result), end="")
    return storage.join(config.output, "compare.html")


if __name__ == "__main__":
    if sys.argv[1:2] == ["compare"]:
        del sys.argv[1]
        run_job(CompareConfig, "Put several models in one table, each against a reference.", main_compare)
    else:
        run_job(EvaluateConfig, __doc__, main)
