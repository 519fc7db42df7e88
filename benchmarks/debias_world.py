"""Compares the debiasing methods and CFalpha in the embedded world, and prints the numbers as Markdown.

    python benchmarks/debias_world.py --sets runs/demo/sets --tuned runs/demo/train/checkpoint > numbers.md

Every method is fitted on the data set of counterfactual sets that CFalpha was trained on, and stacked on CFalpha by fitting it
on the blend. Professions of the data set and professions held out of it are measured apart. Progress goes to stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time

import numpy as np

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

K = 100
ATTRIBUTES = ["gender", "skin_tone"]
GALLERIES = ("portraits", "portraits_held_out")
ACCURACIES = (
    "zero_shot_things",
    "zero_shot_professions",
    "recall@5_text_to_image",
    "recall@5_image_to_text",
    "recall@5_appearance",
)
SEEDS = range(3)


def published(seed: int, **changes: float | bool) -> JointConfig:
    return JointConfig(form="published", published=PublishedForm(seed=seed, batch=128, **changes))


METHODS = {
    "joint, gated": lambda seed: JointConfig(gated=GatedForm(seed=seed)),
    "joint, gated, without image counterfactuals": lambda seed: JointConfig(
        gated=GatedForm(seed=seed, image_counterfactuals=False)
    ),
    "joint, published": lambda seed: published(seed),
    "joint, published, without image counterfactuals": lambda seed: published(seed, image_counterfactuals=False),
    "CLIP-clip": lambda seed: ClipClipConfig(seed=seed),
    "biased prompts": lambda seed: BiasedPromptsConfig(),
    "closed form": lambda seed: ClosedFormConfig(),
}


def training_data(clip: ClipModel, sets: str, cache: str) -> DebiasData:
    people = read_counterfactual_sets(sets, ATTRIBUTES)
    return embed_training_data(EmbeddingCache(clip, cache), people, load_texts("debias-world"))


def row(label: str, found: list[Measurement]) -> str:
    cells = []
    for gallery in GALLERIES:
        for attribute in ATTRIBUTES:
            for metric in ("maxskew", "ndkl"):
                values = [m.fairness[gallery][attribute][f"{metric}@{K}"]["uniform"]["value"] for m in found]
                cells.append(f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""))
    cells += [f"{100 * np.mean([m.accuracy[name] for m in found]):.1f}" for name in ACCURACIES]
    return f"| {label} | {' | '.join(cells)} |"


def floor(found: Measurement) -> str:
    cells = [
        f"{found.fairness[gallery][attribute][f'{metric}@{K}']['uniform']['floor']:.3f}"
        for gallery in GALLERIES for attribute in ATTRIBUTES for metric in ("maxskew", "ndkl")
    ]  # fmt: skip
    return f"| random floor | {' | '.join(cells)} |" + " |" * len(ACCURACIES)


def measure(benchmark: WorldBenchmark, clip: ClipModel, data: DebiasData, configs: list[MethodConfig]) -> list[Measurement]:
    return [benchmark.measure(debias_clip(clip, fit(data, config))) for config in configs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", required=True, help="data set of jobs/generate.py")
    parser.add_argument("--base", default="world:clip")
    parser.add_argument("--tuned", help="checkpoint of jobs/train.py; without one there are no rows of CFalpha")
    parser.add_argument("--alpha", type=float, nargs="*", default=[0.2, 0.5])
    parser.add_argument("--cache", default="runs/embeddings")
    arguments = parser.parse_args()
    columns = [f"{g.replace('_', ' ')} {a} {m}" for g in GALLERIES for a in ATTRIBUTES for m in ("MaxSkew", "NDKL")]
    with contextlib.redirect_stdout(sys.stderr):
        base = load_clip(arguments.base)
        benchmark = WorldBenchmark(WorldConfig(k=K), Settings(cache=arguments.cache, bootstrap=10, floor_permutations=1000))
        plain = benchmark.measure(base)
    print(f"| method | {' | '.join([*columns, *ACCURACIES])} |\n|---|" + "---|" * (len(columns) + len(ACCURACIES)))
    print(floor(plain))
    print(row("CLIP as it is", [plain]))
    data = training_data(base, arguments.sets, arguments.cache)
    for label, configure in METHODS.items():
        started = time.perf_counter()
        repeats = SEEDS if "joint" in label else range(1)
        print(row(label, measure(benchmark, base, data, [configure(seed) for seed in repeats])), flush=True)
        print(f"[{label}] {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    for alpha in arguments.alpha if arguments.tuned else []:
        clip = load_blend(arguments.base, arguments.tuned, alpha)
        print(row(f"CFalpha {alpha}", [benchmark.measure(clip)]), flush=True)
        data = training_data(clip, arguments.sets, arguments.cache)
        for label in ("joint, gated", "closed form"):
            repeats = SEEDS if "joint" in label else range(1)
            found = measure(benchmark, clip, data, [METHODS[label](seed) for seed in repeats])
            print(row(f"CFalpha {alpha} + {label}", found), flush=True)


if __name__ == "__main__":
    main()
