"""Recipes, and benchmarks of a few pictures of the embedded world, for tests that train and evaluate in seconds."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cfray.dataset.schema import IMAGE, encode_png
from cfray.world import corpora

PROMPTS = "name: jobs\ntemplates: ['a photo of a {}']\nconcepts: [doctor, chef]\n"
ACCURACY = "recall@1_text_to_image_captions"
# What the trials of a sweep train and measure, apart from their data and benchmarks.
TRAINING = {
    "model": "world:clip", "steps": 3, "sets_per_batch": 4, "images_per_set": 2, "warmup": 1, "checkpoint_every": 1,
    "max_bad_steps": 0, "workers": 0, "huggingface": False, "loader_threads": 1,
}  # fmt: skip
MEASURING = {
    "alphas": [0.0, 0.5, 1.0], "bootstrap": 10, "floor_permutations": 10, "workers": 0, "able_accuracy": ACCURACY,
    "decode_threads": 1,
}  # fmt: skip


def write_benchmarks(folder: Path) -> list[dict]:
    """Forty portraits to rank and twenty captioned scenes; returns their configurations."""
    faces, scenes = corpora.portraits(40, 7), corpora.captioned_scenes(20, 8)
    pictures = pa.array([encode_png(picture) for picture in faces.pictures], IMAGE)
    pq.write_table(pa.table({"image": pictures, "gender": faces.labels["gender"]}), folder / "labels.parquet")
    (folder / "prompts.yaml").write_text(PROMPTS)
    (folder / "images").mkdir()
    for number, picture in enumerate(scenes.pictures):
        (folder / "images" / f"{number}.png").write_bytes(encode_png(picture)["bytes"])
    captions = [{"file": f"{number}.png", "captions": list(said)} for number, said in enumerate(scenes.captions)]
    (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in captions))
    return [
        {"kind": "labelled", "name": "portraits", "labels": str(folder / "labels.parquet"), "attributes": ["gender"],
         "ranking": {"k": [20], "prompts": [str(folder / "prompts.yaml")]}},
        {"kind": "captions", "captions": str(folder / "captions.jsonl"), "images": str(folder / "images")},
    ]  # fmt: skip
