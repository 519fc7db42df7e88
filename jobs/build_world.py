"""Train the tiny models of the embedded world from its renders, measure them and write a card beside each.

Runs without a cluster, on config.threads CPU threads: hours on two cores, minutes with a GPU's host. It resumes.
"""

from pathlib import Path

import torch

from cfray.evaluate.config import EvaluateConfig
from cfray.evaluate.suite import Evaluator
from cfray.evaluate.world import WorldConfig
from cfray.generate.quality import generation_config, measure_on_renders, measure_painting
from cfray.runs import run_job
from cfray.world.build.cards import write_cards
from cfray.world.build.config import BuildWorldConfig
from cfray.world.build.world import WorldBuilder


def main(config: BuildWorldConfig) -> str:
    WorldBuilder(config).build()
    folder = str(Path(config.output).resolve())
    recipe, classifier = generation_config(folder, config.measured_sets), f"{folder}/profession-classifier"
    on_renders = measure_on_renders(recipe, classifier)
    painted, _ = measure_painting(recipe, classifier)
    torch.set_num_threads(config.threads)
    benchmarks = [WorldConfig(k=100)]
    evaluated = EvaluateConfig(output=config.work, base=f"{folder}/clip", tuned=f"{folder}/clip", benchmarks=benchmarks)
    clip = Evaluator(evaluated).measure(0.0)
    for line in write_cards(Path(config.output), Path(config.work), on_renders, painted, clip):
        print(f"[build_world] {line}", flush=True)
    return config.output


if __name__ == "__main__":
    run_job(BuildWorldConfig, __doc__, main)
