"""The real photos, texts and model that the debiasing methods are compared on; they do not ship with cfray."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from cfray.clip.model import CONFIG_FILE, WEIGHTS_FILE, ClipModel, load_clip
from cfray.debias.cache import EmbeddingCache

MODEL = "models/lit_effnet_minilm"
IDENPROF_TEMPLATES = ("a photo of {}", "a picture of {}", "{} at work", "a portrait of {}", "this is {}")


def export_clip(data: Path, folder: Path) -> ClipModel:
    """The model in the layout ``load_clip`` reads: float32 weights and absolute places of the text tower's files."""
    source = data / MODEL
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / WEIGHTS_FILE).is_file():
        config = json.loads((source / CONFIG_FILE).read_text())
        text = config["model_cfg"]["text_cfg"]
        # open_clip takes the tokenizer of a local folder from that folder, the text tower's configuration from its name.
        tower = (source / text["hf_model_name"]).resolve()
        for file in tower.glob("*token*.json"):
            (folder / file.name).write_bytes(file.read_bytes())
        text["hf_model_name"] = text["hf_tokenizer_name"] = str(tower)
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2))
        state = load_file(source / "open_clip_model.fp16.safetensors")
        state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        save_file(state, folder / WEIGHTS_FILE)
    return load_clip(str(folder))


def read_rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@dataclass
class RealData:
    """Un-normalised embeddings and labels of everything that is measured."""

    val: torch.Tensor
    val_rows: list[dict[str, str]]
    idenprof: torch.Tensor
    idenprof_labels: np.ndarray
    idenprof_prompts: torch.Tensor
    coco: torch.Tensor
    captions: torch.Tensor
    caption_image: np.ndarray
    adjectives: torch.Tensor
    occupations: torch.Tensor
    occupation_names: list[str]
    explicit: dict[str, torch.Tensor]


def article(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def adjective_prompts(data: Path) -> list[str]:
    """The 319 prompts of Berg et al. 2022: 11 templates and 29 concepts."""
    rows = read_rows(data / "wordlists/debias_vision_lang/prompt_templates.csv")
    templates = [row["template"].strip() for row in rows if row["template"] and row["template"].strip()]
    concepts = [row["concept"].strip() for row in rows if row["concept"] and row["concept"].strip()]
    return [template.format(concept) for template in templates for concept in concepts]


OCCUPATION_TEMPLATES = (
    "This is the face of {}", "This is a photo of {}", "This person is {}", "{}", "Photo of {}", "This is the photo of {}",
)  # fmt: skip


def occupation_prompts(data: Path) -> tuple[list[str], list[str]]:
    """Prompts and names of the occupations of Kay et al. 2015 that have a search term of their own."""
    rows = read_rows(data / "wordlists/kay2015_image_search/filtered_bls_occupations.csv")
    names = sorted({row["search_term"] for row in rows if row.get("search_term") not in (None, "", "NA")})
    return [template.format(article(name)) for name in names for template in OCCUPATION_TEMPLATES], names


def load_real(data: Path, cache: EmbeddingCache) -> RealData:
    val_rows = read_rows(data / "fairface/labels_val.csv")
    idenprof = [row for row in read_rows(data / "idenprof/labels.csv") if row["split"] == "test"]
    classes = sorted({row["profession"] for row in idenprof})
    coco = [json.loads(line) for line in (data / "coco_mini/captions_persons.jsonl").read_text().splitlines()]
    coco = [row for row in coco if row["file"].startswith("val2017/")]
    occupations, names = occupation_prompts(data)
    groups = {
        "gender": {"Male": "man", "Female": "woman"},
        "race": {
            "White": "White", "Black": "Black", "Indian": "Indian", "East Asian": "East Asian", "Latino_Hispanic": "Latino",
            "Middle Eastern": "Middle Eastern", "Southeast Asian": "Southeast Asian",
        },
    }  # fmt: skip
    nouns = {a: [w if a == "gender" else f"{w} person" for w in words.values()] for a, words in groups.items()}
    explicit = {
        a: cache.texts([t.format(article(noun)) for noun in n for t in IDENPROF_TEMPLATES]) for a, n in nouns.items()
    }
    professions = ["police officer" if name == "police" else name for name in classes]
    return RealData(
        val=cache.images([data / "fairface" / row["file"] for row in val_rows]),
        val_rows=val_rows,
        idenprof=cache.images([data / "idenprof" / row["file"] for row in idenprof]),
        idenprof_labels=np.array([classes.index(row["profession"]) for row in idenprof]),
        idenprof_prompts=cache.texts([t.format(article(name)) for name in professions for t in IDENPROF_TEMPLATES]),
        coco=cache.images([data / "coco_mini" / row["file"] for row in coco]),
        captions=cache.texts([caption for row in coco for caption in row["captions"][:5]]),
        caption_image=np.repeat(np.arange(len(coco)), [len(row["captions"][:5]) for row in coco]),
        adjectives=cache.texts(adjective_prompts(data)),
        occupations=cache.texts(occupations),
        occupation_names=names,
        explicit=explicit,
    )
