"""A classifier of hair colour on portraits of the embedded world, in which black hair and gender go together 9 to 1.

    python benchmarks/groups_world.py --output runs/groups-world

The classifier is a linear head on frozen features of ``world:clip``; groups are inferred by its prompts for gender.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
from groups_tables import ALL_METHODS, run_here, table

from cfray.config import build_config
from cfray.dataset.schema import encode_png
from cfray.dataset.store import write_table
from cfray.groups.config import ClassifyConfig
from cfray.world.people import GENDERS, sample_person
from cfray.world.scenes import render_portrait

CLASSES = ("black hair", "other hair")


def write_portraits(place: str, shares: dict[tuple[str, str], int], seed: int) -> None:
    """Portraits with columns image, hair and gender; ``shares`` is how many of each (hair, gender) there are."""
    rng, rows = np.random.default_rng(seed), []
    wanted = dict(shares)
    while any(wanted.values()):
        person = sample_person(rng)
        cell = (CLASSES[person.hair_colour != "black"], person.gender)
        if wanted[cell]:
            wanted[cell] -= 1
            rows.append({"image": encode_png(render_portrait(person, rng).picture), "hair": cell[0], "gender": cell[1]})
    write_table(place, pa.Table.from_pylist(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="runs/groups-world")
    parser.add_argument("--per-class", type=int, default=400)
    parser.add_argument("--minority", type=float, default=0.1)
    arguments = parser.parse_args()
    folder = Path(arguments.output)
    few = round(arguments.minority * arguments.per_class)
    planted = {
        cell: few if (cell[0] == CLASSES[0]) == (cell[1] == GENDERS[1]) else arguments.per_class - few
        for cell in product(CLASSES, GENDERS)
    }
    places = {split: str(folder / f"{split}.parquet") for split in ("train", "test")}
    if not Path(places["train"]).exists():
        write_portraits(places["train"], planted, seed=1)
    if not Path(places["test"]).exists():
        write_portraits(places["test"], dict.fromkeys(product(CLASSES, GENDERS), 150), seed=2)
    columns = {"class_column": "hair", "group_column": "gender"}
    config = build_config(ClassifyConfig, {
        "output": str(folder / "run"), "cache": str(folder / "embeddings"), "oracle": True, "methods": ALL_METHODS,
        "train": {"labels": places["train"], **columns}, "test": {"labels": places["test"], **columns},
        "backbone": {"kind": "linear", "clip": "world:clip"},
        "groups": {"clip": "world:clip", "prompts": "attributes-world", "attributes": ["gender"]},
    })  # fmt: skip
    print(table(run_here(config), {("black hair", GENDERS[0]), ("other hair", GENDERS[1])}, 1 - arguments.minority))


if __name__ == "__main__":
    main()
