"""Compares the debiasing methods on real faces, professions and captions, and prints the numbers as Markdown.

    python benchmarks/debias_real.py --model FOLDER --data DATA > numbers.md

Fits on FairFace train, measures on FairFace val (in domain), IdenProf test and COCO val2017 below ``--data``. Everything is
embedded once, to ``--cache``. ``--parts`` are ``methods``, ``strengths``, and the variants of the two forms of joint debiasing,
``published`` and ``gated``; ``--only`` names methods of the first two. Progress goes to stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from debias_data import AGE, ATTRIBUTES, PHOTOS, PROMPT_SETS, K, Measured, RealData, load_real
from lit_effnet_minilm import TOWER, export
from scipy import stats

from cfray.clip.debiasers import Debiaser
from cfray.clip.model import load_clip
from cfray.debias import (
    BiasedPromptsConfig,
    ClipClipConfig,
    ClosedFormConfig,
    DebiasData,
    EmbeddingCache,
    GatedForm,
    JointConfig,
    LabelledPictures,
    PublishedForm,
    embed_training_data,
    fit,
    load_texts,
    read_labelled_table,
)  # fmt: skip
from cfray.debias.config import ReferenceConfig
from cfray.debias.inferred import infer_labels
from cfray.debias.validation import Reference, embed_reference, split_held_out, validation_able
from cfray.metrics import able

SEEDS = range(5)
SHORT = ("strengths", "published", "gated")
"""Parts whose rows are one fit each."""
Row = tuple[str, list[Measured]]


def published(**changes: float) -> JointConfig:
    return JointConfig(form="published", published=PublishedForm(**changes))


METHODS: dict[str, Callable[[int], JointConfig | ClipClipConfig | BiasedPromptsConfig | ClosedFormConfig]] = {
    "joint, gated": lambda seed: JointConfig(gated=GatedForm(seed=seed)),
    "joint, published": lambda seed: published(seed=seed),
    "CLIP-clip": lambda seed: ClipClipConfig(seed=seed),
    "biased prompts": lambda seed: BiasedPromptsConfig(),
    "closed form": lambda seed: ClosedFormConfig(),
}
PUBLISHED = {
    "published": published(),
    "published without L_ba": published(alignment=0, counterfactual=1),
    "published without L_cd": published(alignment=1, counterfactual=0),
    "published, sign -1": published(sign=-1),
    "published, rate 1e-4": published(learning_rate=1e-4),
    "published, rate 1e-4, sign -1": published(learning_rate=1e-4, sign=-1),
    "published, rate 1e-3": published(learning_rate=1e-3),
    "published, rate 1e-4, queue 0": published(learning_rate=1e-4, queue=0),
    "published, rate 1e-4, without L_ba": published(learning_rate=1e-4, alignment=0, counterfactual=1),
    "published, rate 1e-4, without L_ba, sign -1": published(learning_rate=1e-4, alignment=0, counterfactual=1, sign=-1),
}
GATED = {
    "gated": JointConfig(),
    "gated without proximity": JointConfig(gated=GatedForm(proximity=0)),
    "gated without L_bal": JointConfig(gated=GatedForm(balance=0)),
    "gated, 4 ranks": JointConfig(gated=GatedForm(rank=4)),
}


class Comparison:
    """Fits and measures, row after row."""

    def __init__(
        self, real: RealData, data: DebiasData, every: DebiasData, inferred: DebiasData, reference: Reference, bootstrap: int,
        methods: list[str],
    ):  # fmt: skip
        self._methods = {label: METHODS[label] for label in methods}
        self._real, self._data, self._every, self._inferred, self._reference = real, data, every, inferred, reference
        self._bootstrap = bootstrap
        self.base = Measured(real, None, bootstrap=bootstrap, floor=1000)

    def _fit(self, config: JointConfig | ClipClipConfig | BiasedPromptsConfig | ClosedFormConfig) -> Debiaser:
        if isinstance(config, JointConfig) and config.form == "published":
            kept, held_out = split_held_out(self._data, 0.1, seed=0)
            return fit(kept, config, partial(validation_able, faces=held_out, reference=self._reference))
        return fit(self._data, config)

    def _measure(self, label: str, debiasers: list[Debiaser], strength: float = 1.0) -> Row:
        print(f"[{label}] measured", file=sys.stderr, flush=True)
        return label, [
            Measured(self._real, d, strength, bootstrap=self._bootstrap if d is debiasers[0] else 0) for d in debiasers
        ]

    def methods(self) -> Iterator[Row]:
        yield "CLIP as it is", [self.base]
        for label, configure in self._methods.items():
            seeds = SEEDS if label.startswith("joint") else range(1)
            started = time.perf_counter()
            debiasers = [self._fit(configure(seed)) for seed in seeds]
            print(f"[{label}] {(time.perf_counter() - started) / len(seeds):.1f} s a fit", file=sys.stderr, flush=True)
            yield self._measure(label, debiasers)

    def strengths(self) -> Iterator[Row]:
        for label, configure in self._methods.items():
            debiaser = self._fit(configure(0))
            for strength in (0.25, 0.5, 0.75, 1.0):
                yield self._measure(f"{label}, strength {strength}", [debiaser], strength)

    def published(self) -> Iterator[Row]:
        for label, config in PUBLISHED.items():
            yield self._measure(label, [self._fit(config)])

    def gated(self) -> Iterator[Row]:
        for label, config in GATED.items():
            yield self._measure(label, [self._fit(config)])
        gated = self._fit(METHODS["joint, gated"](0))
        opened = copy.deepcopy(gated)
        torch.nn.init.zeros_(opened.gate.weight)
        torch.nn.init.constant_(opened.gate.bias, 20.0)
        yield self._measure("gated, gates held open", [opened])
        yield self._measure("gated, age as well", [fit(self._every, METHODS["joint, gated"](0))])
        yield self._measure("gated, labels inferred by CLIP", [fit(self._inferred, METHODS["joint, gated"](0))])
        for attribute in ATTRIBUTES:
            right = (self._inferred.labels[attribute] == self._data.labels[attribute]).float().mean().item()
            print(f"[inferred] {attribute}: {100 * right:.1f} % right", file=sys.stderr)


def excess(measured: Measured, base: Measured, prompts: str, attribute: str, metric: str, target: str) -> float:
    """What is left of the excess over the random floor that the model has as it is; floors do not depend on the model."""
    now, was = (m.value(prompts, attribute, metric, target) for m in (measured, base))
    return (now["value"] - was["floor"]) / (was["value"] - was["floor"])


def spread(values: list[float], decimals: int) -> str:
    """Half the 95 % interval of a mean over fits with other seeds (Student's t), nothing for one fit."""
    if len(values) < 2:
        return ""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f" ± {half:.{decimals}f}"


def fairness_table(
    rows: list[Row], base: Measured, prompts: str, target: str, attributes: tuple[str, ...] = ATTRIBUTES
) -> list[str]:
    columns = [(a, metric) for a in attributes for metric in ("maxskew", "ndkl")]
    names = {"maxskew": "MaxSkew", "ndkl": "NDKL"}
    lines = [
        f"\n{prompts}, target {target}: value, in brackets what is left of the excess over the floor\n",
        "| method | " + " | ".join(f"{a} {names[metric]}" for a, metric in columns) + " |", "|---|" + "---|" * len(columns),
        "| random floor | " + " | ".join(f"{base.value(prompts, a, m, target)['floor']:.3f}" for a, m in columns) + " |",
    ]  # fmt: skip
    for label, measured in rows:
        cells = []
        for a, metric in columns:
            values = [m.value(prompts, a, metric, target)["value"] for m in measured]
            left = np.mean([excess(m, base, prompts, a, metric, target) for m in measured])
            cells.append(f"{np.mean(values):.3f}{spread(values, 3)} ({100 * left:.0f} %)")
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def quality_table(rows: list[Row], base: Measured) -> list[str]:
    lines = [
        "\n| method | IdenProf | R@5 text→image | R@5 image→text | ABLE gender | ABLE race | named gender | named race "
        "| P@100 gender | P@100 race | raw-dot MaxSkew gender | race |", "|---|" + "---|" * 11,
    ]  # fmt: skip

    def change(values: list[float], was: float) -> str:
        return f"{100 * np.mean(values):.1f} ({100 * (np.mean(values) - was):+.2f})"

    for label, measured in rows:
        ables = [[100 * able(m.accuracy, m.value("adjectives", a, "maxskew")["value"]) for m in measured] for a in ATTRIBUTES]
        cells = [
            change([m.accuracy for m in measured], base.accuracy),
            change([m.recall[0] for m in measured], base.recall[0]),
            change([m.recall[1] for m in measured], base.recall[1]),
            *(f"{np.mean(values):.2f}{spread(values, 2)}" for values in ables),
            *(f"{100 * np.mean([m.named[a] for m in measured]):.1f}" for a in ATTRIBUTES),
            *(f"{100 * np.mean([m.precision[a] for m in measured]):.1f}" for a in ATTRIBUTES),
            *(f"{np.mean([m.raw[a] for m in measured]):.3f}" for a in ATTRIBUTES),
        ]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def short_table(rows: Iterator[Row], base: Measured) -> Iterator[str]:
    """One line a row: excess left of adjectives and occupations (pool, MaxSkew and NDKL), and what accuracy changed."""
    heads = "adjectives: gender MaxSkew, NDKL | race | occupations: gender | race | IdenProf | R@5 text→image | R@5 image→text"
    yield f"\n| variant | {heads} | ABLE gender | race | named gender | race |\n|---|{'---|' * 11}"
    for label, (m, *_) in rows:
        left = [
            ", ".join(f"{100 * excess(m, base, prompts, a, metric, 'pool'):.0f} %" for metric in ("maxskew", "ndkl"))
            for prompts in PROMPT_SETS for a in ATTRIBUTES
        ]  # fmt: skip
        changes = [m.accuracy - base.accuracy, m.recall[0] - base.recall[0], m.recall[1] - base.recall[1]]
        ables = [able(m.accuracy, m.value("adjectives", a, "maxskew")["value"]) for a in ATTRIBUTES]
        cells = [*left, *(f"{100 * c:+.2f}" for c in changes), *(f"{100 * a:.2f}" for a in ables)]
        cells += [f"{100 * m.named[a]:.1f}" for a in ATTRIBUTES]
        yield f"| {label} | {' | '.join(cells)} |"


def interval_table(rows: list[Row]) -> list[str]:
    lines = ["\n| method | prompts | " + " | ".join(f"{a} MaxSkew@{K}" for a in ATTRIBUTES) + " |", "|---|---|---|---|"]
    for label, (first, *_) in rows:
        for prompts in PROMPT_SETS:
            cells = [first.value(prompts, a, "maxskew") for a in ATTRIBUTES]
            text = " | ".join(f"{c['value']:.3f} ({c['low']:.3f} to {c['high']:.3f})" for c in cells)
            lines.append(f"| {label} | {prompts} | {text} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="what cfray loads as a CLIP, or the folder lit_effnet_minilm as it is")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", default="runs/embeddings")
    parser.add_argument("--bootstrap", type=int, default=200)
    parser.add_argument("--parts", nargs="+", default=["methods", *SHORT])
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(sys.stderr):
        raw = (Path(arguments.model) / TOWER).is_dir()
        clip = load_clip(str(export(Path(arguments.model), Path(scratch)) if raw else arguments.model))
        cache = EmbeddingCache(clip, arguments.cache)
        people = read_labelled_table(str(arguments.data / "fairface/labels_train.csv"), ["gender", "race", "age"])
        texts = load_texts("debias-faces")
        reference = ReferenceConfig(
            table=str(arguments.data / "idenprof/labels.csv"), label="profession", where={"split": "train"}
        )
        values = {a: np.unique(people.labels[a]).tolist() for a in ATTRIBUTES}
        unlabelled = infer_labels(cache, LabelledPictures(people.pictures, {}), texts, values, "argmax")
        comparison = Comparison(
            load_real(arguments.data, cache), embed_training_data(cache, people, texts, list(ATTRIBUTES)),
            embed_training_data(cache, people, texts), embed_training_data(cache, unlabelled, texts),
            embed_reference(cache, reference), arguments.bootstrap, arguments.only,
        )  # fmt: skip
    if "methods" in arguments.parts:
        rows = list(comparison.methods())
        for prompts in PROMPT_SETS:
            for target in ("uniform", "pool"):
                print("\n".join(fairness_table(rows, comparison.base, prompts, target)))
            print("\n".join(fairness_table(rows, comparison.base, prompts, "pool", (AGE, PHOTOS))))
        print("\n".join(quality_table(rows, comparison.base)))
        print("\n".join(interval_table(rows)), flush=True)
    for part in SHORT:
        if part in arguments.parts:
            for line in short_table(getattr(comparison, part)(), comparison.base):
                print(line, flush=True)


if __name__ == "__main__":
    main()
