"""Recomputes the fairness of real faces without cfray's metrics and prints how far the two are apart.

    python benchmarks/recompute.py --model FOLDER --data DATA --cache runs/embeddings

Takes the embeddings that ``real_faces.py`` left in ``--cache`` and the labels from their file. Ranking, counting and the
formulas are loops over queries and results in float64, written from the definitions.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np
from lit_effnet_minilm import load_as_it_is
from rank_speed import by_loop
from real_faces import fairface

from cfray.concepts.prompts import load_prompts
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.embeddings import Encoder
from cfray.evaluate.fairface import FairFace

ATTRIBUTES = ("gender", "race")
METRICS = ("maxskew", "minskew", "ndkl")


def unit(vectors: np.ndarray) -> np.ndarray:
    vectors = vectors.astype(np.float64)
    return vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", default="runs/embeddings")
    parser.add_argument("--k", type=int, nargs="+", default=[100, 500])
    arguments = parser.parse_args()
    settings = Settings(cache=arguments.cache, bootstrap=0, floor_permutations=0)
    with tempfile.TemporaryDirectory() as scratch:
        clip = load_as_it_is(arguments.model, Path(scratch))
        benchmark = FairFace(fairface(arguments.data, arguments.k), settings)
        encoder, gallery = Encoder(clip, settings), benchmark.galleries[0]
        images = unit(encoder.images(gallery).vectors)
        found = benchmark.measure(clip).fairness
        with (arguments.data / "fairface" / "labels_val.csv").open() as file:
            rows = {row["file"]: row for row in csv.DictReader(file)}
        worst, count = 0.0, 0
        for name in ("prompts-adjectives", "prompts-occupations"):
            prompts = load_prompts(name)
            texts = unit(encoder.texts([text for concept in prompts.concepts for text in prompts.fill(concept)]))
            for attribute in ATTRIBUTES:
                labels = [rows[f"val/{picture.name}"][attribute] for picture in gallery.pictures]
                groups = sorted(set(labels))
                ids = np.array([groups.index(label) for label in labels])
                shares = {
                    "uniform": [1 / len(groups)] * len(groups),
                    "pool": [labels.count(group) / len(labels) for group in groups],
                }
                for k in arguments.k:
                    for target, share in shares.items():
                        means = np.mean(by_loop(texts @ images.T, ids, k, share), axis=0)
                        for metric, mean in zip(METRICS, means, strict=True):
                            value = found[f"fairface_{prompts.name}"][attribute][f"{metric}@{k}"][target]["value"]
                            worst, count = max(worst, abs(value - mean)), count + 1
    print(f"{count} values over {len(gallery):,} faces: largest difference {worst:.1e}")
    if worst > 1e-6:
        raise SystemExit("the two differ by more than 1e-6")


if __name__ == "__main__":
    main()
