"""Search hyperparameters of the fine-tuning against fairness and accuracy, every alpha of every trial, and choose a model.

Runs as many trials at once as fit the cluster. ``show URI`` draws the page of a sweep anew, while it runs or after;
``export`` writes the checkpoint of one (trial, alpha).
"""

import sys

import ray

from cfray.runs import run_job
from cfray.sweep.config import ExportConfig, ShowConfig, SweepConfig
from cfray.sweep.export import export, show
from cfray.sweep.job import sweep


def main(config: SweepConfig) -> str:
    with ray.init():  # left before the result is printed, so that no worker's late line follows it
        result = sweep(config)["result"]
    chosen, cost = result["chosen"], result["overhead"]
    print(f"trials: {', '.join(f'{status} {count}' for status, count in result['trials'].items())}")
    print(f"overhead: {cost['ratio']:.2f} ({cost['wall_seconds']:.0f} s, {cost['in_flight']} trials at once)")
    if chosen is None:
        print(f"no point loses at most constraint.max_lost={config.constraint.max_lost:g}")
    else:
        print(f"chosen: trial {chosen['trial']} at alpha {chosen['alpha']:g} with {chosen['parameters']}")
        print(f"its checkpoint: {chosen['export']}")
    return result["page"]


if __name__ == "__main__":
    if sys.argv[1:2] == ["export"]:
        del sys.argv[1]
        run_job(ExportConfig, "Write the checkpoint of one (trial, alpha) of a sweep.", export)
    elif sys.argv[1:2] == ["show"]:
        sys.argv[1:] = [f"sweep={place}" for place in sys.argv[2:]]
        run_job(ShowConfig, "Draw the page of a sweep anew.", show)
    else:
        run_job(SweepConfig, __doc__, main)
