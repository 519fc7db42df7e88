"""A classifier of age or gender on FairFace, in which the class and another attribute go together 9 to 1 by sub-sampling.

    CFRAY_REAL_DATA=DATA python benchmarks/groups_faces.py --task age --output runs/groups-faces

The classifier is a linear head on frozen features of DATA/models/lit_effnet_minilm; groups are inferred by its prompts. Faces
are FairFace val below DATA/fairface: half of them are sub-sampled for training, the others are the test, three times over.
"""

from __future__ import annotations

import argparse
import csv
import os
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from groups_tables import ALL_METHODS, run_here, table
from lit_effnet_minilm import export

from cfray.config import build_config
from cfray.groups.config import ClassifyConfig
from cfray.report.words import percent

UNDER_30 = ("0-2", "3-9", "10-19", "20-29")


@dataclass(frozen=True)
class Task:
    """``classes`` maps a class to the label values it has; ``groups`` are the two values of ``attribute`` that it goes with."""

    column: str
    classes: dict[str, tuple[str, ...]]
    attribute: str
    groups: tuple[str, str]


TASKS = {
    "age": Task("age", {"30 or older": ("30-39", "40-49", "50-59", "60-69", "70+"), "under 30": UNDER_30}, "gender",
                ("Male", "Female")),
    "gender": Task("gender", {"Female": ("Female",), "Male": ("Male",)}, "race", ("White", "Black")),
}  # fmt: skip


def plant(task: Task, rows: list[dict[str, str]], folder: Path, minority: float, seed: int) -> tuple[str, str]:
    """Write train.csv, with the correlation, and test.csv, as the faces come; their places."""
    rows = [row for row in rows if row[task.attribute] in task.groups]
    for row in rows:
        row["class"] = next(name for name, values in task.classes.items() if row[task.column] in values)
    rng = np.random.default_rng(seed)
    order = [rows[i] for i in rng.permutation(len(rows))]
    pool, test = order[: len(order) // 2], order[len(order) // 2 :]
    cells: dict[tuple[str, str], list] = {cell: [] for cell in product(task.classes, task.groups)}
    for row in pool:
        cells[row["class"], row[task.attribute]].append(row)
    with_class = set(zip(task.classes, task.groups, strict=True))
    many = min(len(cells[cell]) for cell in with_class)
    few = round(many * minority / (1 - minority))
    train = [row for cell, members in cells.items() for row in members[: many if cell in with_class else few]]
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", train), ("test", test)):
        with (folder / f"{name}.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, ["file", "class", task.attribute], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(part)
    return str(folder / "train.csv"), str(folder / "test.csv")


def configure(task: Task, data: Path, clip: str, folder: Path, train: str, test: str, augment: bool) -> ClassifyConfig:
    methods = [method for method in ALL_METHODS if augment or not method.get("augment")]
    columns = {"images": str(data / "fairface"), "class_column": "class", "group_column": task.attribute}
    return build_config(ClassifyConfig, {
        "output": str(folder / "run"), "cache": str(folder.parent / "embeddings"), "oracle": True, "methods": methods,
        "train": {"labels": train, **columns}, "test": {"labels": test, **columns},
        "backbone": {"kind": "linear", "clip": clip},
        "groups": {"clip": clip, "prompts": "attributes-faces", "attributes": [task.attribute]},
    })  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=TASKS, default="age")
    parser.add_argument("--output", type=Path, default=Path("runs/groups-faces"))
    parser.add_argument("--minority", type=float, default=0.1)
    parser.add_argument("--augment", action="store_true", help="the methods with augmentation too: more images to embed")
    parser.add_argument("--splits", type=int, default=3)
    arguments = parser.parse_args()
    data, task = Path(os.environ["CFRAY_REAL_DATA"]), TASKS[arguments.task]
    arguments.output.mkdir(parents=True, exist_ok=True)
    clip = str(export(data / "models/lit_effnet_minilm", arguments.output / "clip"))
    with (data / "fairface/labels_val.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    worst: dict[str, list[float]] = {}
    mean: dict[str, list[float]] = {}
    for split in range(arguments.splits):
        folder = arguments.output / f"{arguments.task}-{split}"
        train, test = plant(task, rows, folder, arguments.minority, split)
        result = run_here(configure(task, data, clip, folder, train, test, arguments.augment))
        print(f"\nsplit {split}: {table(result, set(zip(task.classes, task.groups, strict=True)), 1 - arguments.minority)}")
        for name, method in result["methods"].items():
            worst.setdefault(name, []).append(method["metrics"]["worst_cell_accuracy"]["value"])
            mean.setdefault(name, []).append(method["metrics"]["balanced_accuracy"]["value"])
    gap = np.mean(worst["true groups"]) - np.mean(worst["ERM"])
    print("\n| method, mean over splits | worst-group accuracy | of the gap closed | mean, balanced test |\n|---|---|---|---|")
    for name, values in worst.items():
        closed = (np.mean(values) - np.mean(worst["ERM"])) / gap
        print(f"| {name} | {percent(np.mean(values))} | {percent(closed, 0)} | {percent(np.mean(mean[name]))} |")


if __name__ == "__main__":
    main()
