"""Compares the debiasing methods and CFalpha in the embedded world, and prints the numbers as Markdown.

    python benchmarks/debias_world.py runs/demo [runs/seeds/1 runs/seeds/2] > numbers.md

Each folder is a finished run of jobs/demo.py. Every method is fitted on the counterfactual sets that CFalpha was trained on,
and stacked on CFalpha by fitting it on the blend at the recommended alpha. Professions of the data set and professions held
out of it are measured apart. Three seeds: one per run, and as many of the fit where there are fewer runs. Progress goes to
stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tables import ACCURACIES, ATTRIBUTES

from cfray.clip.model import ClipModel, debias_clip, load_clip
from cfray.clip.pair import load_blend
from cfray.debias import (
    BiasedPromptsConfig,
    ClipClipConfig,
    ClosedFormConfig,
    DebiasData,
    EmbeddingCache,
    GatedForm,
    JointConfig,
    PublishedForm,
    embed_training_data,
    fit,
    load_texts,
    read_counterfactual_sets,
)
from cfray.debias.config import MethodConfig
from cfray.evaluate.benchmark import Measurement, Settings
from cfray.evaluate.world import WorldBenchmark, WorldConfig

K, SEEDS = 100, 3
GALLERIES = {"portraits": "", "portraits_held_out": "held out, "}
METRICS = {"maxskew": "MaxSkew", "ndkl": "NDKL"}
CELLS = [(gallery, attribute, metric) for gallery in GALLERIES for attribute in ATTRIBUTES for metric in METRICS]


def published(seed: int, **changes: float | bool) -> JointConfig:
    return JointConfig(form="published", published=PublishedForm(seed=seed, batch=128, **changes))


def gated(seed: int, **changes: bool) -> JointConfig:
    return JointConfig(gated=GatedForm(seed=seed, balance=10, **changes))


METHODS: dict[str, Callable[[int], MethodConfig]] = {
    "joint": gated,
    "joint, without image counterfactuals": lambda seed: gated(seed, image_counterfactuals=False),
    "CLIP-clip": lambda seed: ClipClipConfig(seed=seed),
    "biased prompts": lambda seed: BiasedPromptsConfig(),
    "closed form": lambda seed: ClosedFormConfig(),
    "joint, published": lambda seed: published(seed),
    "joint, published, without image counterfactuals": lambda seed: published(seed, image_counterfactuals=False),
}
STACKED = ("joint", "joint, without image counterfactuals", "closed form")


class Run:
    """A run of the demo: its sets, and the CFalpha model at the alpha it recommends."""

    def __init__(self, place: str, cache: str):
        record = json.loads((Path(place) / "evaluate/record.json").read_text())
        self.alpha = record["result"]["recommended_alpha"]
        self.base = load_clip(record["config"]["base"])
        self.blend = load_blend(record["config"]["base"], f"{place}/train/checkpoint", self.alpha)
        people = read_counterfactual_sets(f"{place}/sets", list(ATTRIBUTES))
        self.data, self.blended_data = (
            embed_training_data(EmbeddingCache(clip, cache), people, load_texts("debias-world"))
            for clip in (self.base, self.blend)
        )


def rows(runs: list[Run], measure: Callable[[ClipModel], Measurement]) -> Iterator[tuple[str, list[Measurement]]]:
    """Label and measurements of every row of the table."""

    def fitted(clip: ClipModel, data: DebiasData, label: str, seed: int) -> Measurement:
        return measure(debias_clip(clip, fit(data, METHODS[label](seed))))

    def seeds(label: str) -> list[tuple[Run, int]]:
        # The baselines have no seed that matters: one fit per run.
        return [(runs[seed % len(runs)], seed) for seed in range(SEEDS if "joint" in label else len(runs))]

    yield "base", [measure(runs[0].base)]
    yield f"CFα ({', '.join(f'{run.alpha:g}' for run in runs)})", [measure(run.blend) for run in runs]
    for label in STACKED:
        yield f"CFα + {label}", [fitted(run.blend, run.blended_data, label, seed) for run, seed in seeds(label)]
    for label in METHODS:
        yield label, [fitted(run.base, run.data, label, seed) for run, seed in seeds(label)]


def value(found: Measurement, gallery: str, attribute: str, metric: str, key: str = "value") -> float:
    return found.fairness[gallery][attribute][f"{metric}@{K}"]["uniform"][key]


def markdown(label: str, found: list[Measurement]) -> str:
    cells = []
    for cell in CELLS:
        values = [value(one, *cell) for one in found]
        cells.append(f"{np.mean(values):.2f}" + (f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""))
    cells += [f"{100 * np.mean([one.accuracy[name] for one in found]):.1f}" for name in ACCURACIES]
    return f"| {label} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", help="finished runs of jobs/demo.py")
    parser.add_argument("--cache", default="runs/embeddings")
    arguments = parser.parse_args()
    with contextlib.redirect_stdout(sys.stderr):
        benchmark = WorldBenchmark(WorldConfig(k=K), Settings(cache=arguments.cache, bootstrap=10, floor_permutations=1000))
        runs = [Run(place, arguments.cache) for place in arguments.runs]
    heads = [f"{GALLERIES[gallery]}{ATTRIBUTES[a]} {METRICS[metric]}" for gallery, a, metric in CELLS]
    print(f"| method | {' | '.join([*heads, *ACCURACIES.values()])} |\n|---|" + "---|" * (len(heads) + len(ACCURACIES)))
    started = time.perf_counter()
    for label, found in rows(runs, benchmark.measure):
        if label == "base":
            floors = " | ".join(f"{value(found[0], *cell, 'floor'):.2f}" for cell in CELLS)
            print(f"| random floor | {floors} |" + " |" * len(ACCURACIES))
        print(markdown(label, found), flush=True)
        print(f"[{label}] {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
