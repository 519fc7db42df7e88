"""Measures a CLIP on real faces, professions and captions, and prints the numbers as Markdown.

    python benchmarks/real_faces.py --model FOLDER --data DATA > numbers.md

Reads FairFace val, IdenProf test and COCO val2017 photos below ``--data``. Progress goes to stderr. A second run finds the
embeddings in ``--cache`` and reads no image.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

from lit_effnet_minilm import load_as_it_is

from cfray.evaluate.benchmark import Benchmark, Measurement, Settings
from cfray.evaluate.captions import Captions, CaptionsConfig
from cfray.evaluate.fairface import FairFace, FairFaceConfig
from cfray.evaluate.labelled import Labelled, LabelledConfig

METRICS = {"maxskew": "MaxSkew", "minskew": "MinSkew", "ndkl": "NDKL"}


def fairface(data: Path, ks: list[int]) -> FairFaceConfig:
    """The faces of FairFace's validation split with padding 0.25."""
    return FairFaceConfig(
        labels=str(data / "fairface" / "labels_val.csv"), images=str(data / "fairface"), padding="0.25", k=ks,
        attributes=["gender", "race", "age3"],
    )  # fmt: skip


def benchmarks(data: Path, settings: Settings, ks: list[int]) -> dict[str, Benchmark]:
    professions = LabelledConfig(
        name="idenprof", images=str(data / "idenprof"), labels=str(data / "idenprof" / "labels.csv"),
        class_column="profession", class_names={"police": "police officer"}, where={"split": "test"},
    )  # fmt: skip
    photos = CaptionsConfig(
        name="coco", captions=str(data / "coco_mini" / "captions_persons.jsonl"), images=str(data / "coco_mini"),
        below="val2017/", captions_per_image=5,
    )  # fmt: skip
    return {
        "FairFace": FairFace(fairface(data, ks), settings), "IdenProf": Labelled(professions, settings),
        "COCO": Captions(photos, settings),
    }  # fmt: skip


def fairness_table(found: Measurement) -> list[str]:
    """One row per prompt set, attribute and metric; each cell is the value, its interval and its random floor."""
    lines = ["| prompts | attribute | metric | uniform | floor | pool | floor |", "|---|---|---|---|---|---|---|"]
    for gallery, attributes in found.fairness.items():
        for attribute, summary in attributes.items():
            for key, targets in summary.items():
                family, at, k = key.partition("@")
                if at:
                    cells = [cell for target in ("uniform", "pool") for cell in _cells(targets[target])]
                    prompts = gallery.removeprefix("fairface_")
                    lines.append(f"| {prompts} | {attribute} | {METRICS[family]}@{k} | {' | '.join(cells)} |")
    return lines


def _cells(measure: dict[str, float]) -> tuple[str, str]:
    return f"{measure['value']:.3f} ({measure['low']:.3f} to {measure['high']:.3f})", f"{measure['floor']:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="what cfray loads as a CLIP, or the folder lit_effnet_minilm as it is")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", default="runs/embeddings")
    parser.add_argument("--k", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--bootstrap", type=int, default=1000)
    parser.add_argument("--only", nargs="+", choices=("FairFace", "IdenProf", "COCO"), default=("FairFace", "IdenProf", "COCO"))
    arguments = parser.parse_args()
    settings = Settings(cache=arguments.cache, bootstrap=arguments.bootstrap, floor_permutations=1000)
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(sys.stderr):
        started = time.process_time()
        clip = load_as_it_is(arguments.model, Path(scratch))
        found, seconds = {}, {"loading the model": time.process_time() - started}
        for name, benchmark in benchmarks(arguments.data, settings, arguments.k).items():
            if name not in arguments.only:
                continue
            started = time.process_time()
            found[name] = benchmark.measure(clip)
            seconds[name] = time.process_time() - started
            print(f"[{name}] measured in {seconds[name]:.1f} s of processor time", flush=True)
    if "FairFace" in found:
        print("\n".join(fairness_table(found["FairFace"])))
    print("\n| benchmark | metric | value |\n|---|---|---|")
    for name, measured in found.items():
        for metric, value in measured.accuracy.items():
            print(f"| {name} | {metric.replace(f'_{name.lower()}', '')} | {100 * value:.1f} % |")
    print(f"\nSeconds of processor time: {', '.join(f'{name} {value:.1f}' for name, value in seconds.items())}.")


if __name__ == "__main__":
    main()
