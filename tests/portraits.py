"""Portraits with labels, a recipe to classify them, and a fit in this process; for unit and integration tests."""

import csv
from pathlib import Path

import pyarrow as pa
from PIL import Image

from cfray.config import build_config
from cfray.dataset.schema import encode_png
from cfray.dataset.store import write_table
from cfray.groups.config import ClassifyConfig
from cfray.groups.inputs import prepare
from cfray.groups.job import for_workers
from cfray.groups.loop import Worker
from cfray.groups.worker import fit_all
from cfray.world.corpora import portraits

METHODS = [
    {"name": "ERM", "mode": "erm"},
    {"name": "CLIP groups", "mode": "resample", "augment": ["standard"]},
    {"name": "penalty", "mode": "penalty", "parity": "equal_opportunity"},
]


def write_portraits(place: Path, n: int, seed: int) -> str:
    corpus = portraits(n, seed)
    rows = [
        {"image": encode_png(picture), "age": "old" if age == "old" else "not old", "gender": gender}
        for picture, age, gender in zip(corpus.pictures, corpus.labels["age"], corpus.labels["gender"], strict=True)
    ]
    write_table(str(place), pa.Table.from_pylist(rows))
    return str(place)


def write_faces(folder: Path, n: int, seed: int) -> Path:
    """PNG files and ``labels.csv`` with their gender and skin tone; returns the folder."""
    corpus = portraits(n, seed)
    with (folder / "labels.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "gender", "skin_tone"])
        for i, picture in enumerate(corpus.pictures):
            Image.fromarray(picture).save(folder / f"{i}.png")
            writer.writerow([f"{i}.png", corpus.labels["gender"][i], corpus.labels["skin_tone"][i]])
    return folder


def recipe(places: dict[str, str], output: Path, **changes) -> ClassifyConfig:
    data = {
        "output": str(output), "cache": str(output.parent / "embeddings"), "seeds": [0], "methods": METHODS, "positive": "old",
        "train": {"labels": places["train"], "class_column": "age"},
        "test": {"labels": places["test"], "class_column": "age", "group_column": "gender"},
        "backbone": {"kind": "linear", "clip": "world:clip"},
        "groups": {"clip": "world:clip", "prompts": "attributes-world", "attributes": ["gender"]},
        "fitting": {"epochs": 6, "batch": 24, "learning_rate": 0.02, "views": 1},
    }  # fmt: skip
    return build_config(ClassifyConfig, data | changes)


def here(config: ClassifyConfig, results: dict | None = None) -> dict:
    """What the workers do, in this process."""
    config = for_workers(config)
    return fit_all(config, prepare(config)["classes"], Worker(), results or {}, lambda results, rank: None)
