"""Run the demo with several seeds and print what falls and what is lost: ``python -m benchmarks.seeds 0 1 2``.

Each seed makes its own sets and trains its own model below runs/seeds; finished runs are not repeated.
"""

from __future__ import annotations

import json
import sys

import ray
import yaml

from benchmarks.tables import markdown, row
from cfray import storage
from cfray.config import build_config
from cfray.demo import DemoConfig, run_demo

CONFIG = "jobs/configs/demo.yaml"


def main(seeds: list[int]) -> None:
    ray.init()
    evaluations = {}
    for seed in seeds:
        data = yaml.safe_load(storage.read_bytes(CONFIG))
        # Seed 0 is the demo itself.
        place = data["output"] if seed == data["train"]["seed"] else f"runs/seeds/{seed}"
        data |= {"output": place}
        for part in ("generate", "train"):
            data[part] |= {"seed": seed}
        run_demo(build_config(DemoConfig, data))
        evaluations[seed] = json.loads(storage.read_bytes(f"{place}/evaluate/record.json"))
    for gallery in ("portraits", "portraits_held_out"):
        print(f"\n{gallery}: share of the excess over the floor that is gone; accuracy in points\n")
        print(markdown([row(f"seed {seed}", evaluated, gallery) for seed, evaluated in evaluations.items()]))


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or [0, 1, 2])
