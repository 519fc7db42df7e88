"""Train the demo's model with parts left out or exchanged and print one row each: ``python -m benchmarks.ablation``.

Needs the finished demo (``make demo``), which is the row with both losses; the whole-person masks get a data set of their
own. Results go below runs/ablation; finished runs are not repeated.
"""

from __future__ import annotations

import json
from typing import Any

import ray
import yaml

from benchmarks.tables import markdown, row
from cfray import storage
from cfray.config import build_config
from cfray.demo import ORDINARY, write_ordinary_pictures
from cfray.evaluate.config import EvaluateConfig
from cfray.evaluate.suite import evaluate
from cfray.generate.config import GenerateConfig
from cfray.generate.pipeline import generate
from cfray.train.config import TrainConfig
from cfray.train.job import train

CONFIG, OUTPUT = "jobs/configs/demo.yaml", "runs/ablation"
# What training does is compared at its own weights; the demo's sweep over alpha is a table of its own.
ALPHAS = [0.0, 1.0]

# Changes to the demo's training; `masks` chooses the data set and `rehearsal` the entries that stay.
SETTINGS: dict[str, dict[str, Any]] = {
    "CLIP loss alone": {"loss": {"beta_cf": 0.0}},
    "counterfactual loss alone": {"loss": {"beta_clip": 0.0}},
    "one-per-set targets": {"loss": {"clip_targets": "one_per_set"}},
    "plain targets": {"loss": {"clip_targets": "plain"}},
    "person mask": {"masks": "person"},
    "without pairs": {"rehearsal": ["things"]},
    "without rehearsal": {"rehearsal": []},
}


def main() -> None:
    ray.init()
    data = yaml.safe_load(storage.read_bytes(CONFIG))
    places = {"body": f"{data['output']}/sets", "person": f"{OUTPUT}/sets-person"}
    masks = data["generate"]["masks"] | {"region": "person", "max_area": 0.9}
    generate(build_config(GenerateConfig, data["generate"] | {"output": places["person"], "masks": masks}))
    evaluations = {"both losses": json.loads(storage.read_bytes(f"{data['output']}/evaluate/record.json"))}
    for name, changes in SETTINGS.items():
        place = f"{OUTPUT}/{name.replace(' ', '-')}"
        changes = dict(changes)
        training = data["train"] | {"output": f"{place}/train", "data": places[changes.pop("masks", "body")]}
        kept = changes.pop("rehearsal", list(ORDINARY))
        training["rehearsal"] = [
            entry | {"data": write_ordinary_pictures(data["output"], entry["data"])}
            for entry in data["train"]["rehearsal"]
            if entry["data"] in kept
        ]
        training["loss"] = training["loss"] | changes.pop("loss", {})
        trained = train(build_config(TrainConfig, training | changes))
        evaluating = data["evaluate"] | {"output": f"{place}/evaluate", "tuned": trained["result"]["checkpoint"]}
        evaluations[name] = evaluate(build_config(EvaluateConfig, evaluating | {"alphas": ALPHAS}))
    for gallery in ("portraits", "portraits_held_out"):
        print(f"\n{gallery}, alpha 1: share of the excess over the floor that is gone; accuracy in points\n")
        print(markdown([row(name, evaluated, gallery, alpha=ALPHAS[-1]) for name, evaluated in evaluations.items()]))


if __name__ == "__main__":
    main()
