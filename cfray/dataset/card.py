"""The data card of a data set: ``README.md`` with the metadata by which Hugging Face ``datasets`` loads the folder as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import yaml
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from cfray import storage
from cfray.dataset.store import models_used
from cfray.world.models import PREFIX, model_path

CARD = "README.md"
_USE = """## Intended use

Fine-tuning and measuring image-text models so that they tie a concept to its context and not to the appearance of people. Each
set is a base image and counterfactuals of it: the same context, other people, one neutral caption. The people are painted;
nobody is depicted. Appearance values are what a prompt asked for and what a reader saw, not facts about a person.

Not for: inferring gender, race, age or any trait of real people; training a generator to imitate people; statements about how
professions are staffed. The painter's and the readers' own biases are in these pictures; `jobs/audit.py` measures them.
"""


def write_card(dataset: str, record: dict[str, Any], sets: dict[str, Any]) -> None:
    """Write the card of a run into its data set; see ``card_text``."""
    models = models_used(dataset)
    licences = {model: licence_of(model, revision) for model, revision in models.values()}
    storage.write_bytes(storage.join(dataset, CARD), card_text(record, sets, models, licences).encode())


def card_text(
    record: dict[str, Any], sets: dict[str, Any], models: dict[str, tuple[str, str | None]], licences: dict[str, str]
) -> str:
    """The card as Markdown.

    Args:
        record: the run's record: configuration and packages.
        sets: the fields of ``SetCounts``.
        models: role -> (id, revision) of every model that touched a row.
        licences: model id -> licence.
    """
    head = {
        "pretty_name": "Counterfactual sets", "task_categories": ["zero-shot-image-classification"],
        "tags": ["counterfactual", "synthetic"],
        "configs": [{"config_name": "default", "data_files": "parts/*.parquet"}],
    }  # fmt: skip
    lost = [(f"{what}: {reason}", n) for what in ("rejected", "failed") for reason, n in sets[what].items()]
    return "\n".join(
        [
            "---", yaml.safe_dump(head, sort_keys=False).strip(), "---", "", "# Counterfactual sets", "",
            f"{sets['kept']} sets of {sets['planned']} planned were kept; made by `jobs/generate.py` of cfray "
            f"{record['packages']['cfray']}. One row of `parts/*.parquet` is one set, whatever became of it; train on rows "
            "whose `status` is `kept`, and in them on variants whose `status` is `kept`.", "",
            "## Models", "", *_table(("role", "model", "revision", "licence"), [
                (role, model, revision or "a folder", licences[model]) for role, (model, revision) in models.items()
            ]), "", "Images are subject to the licences of the models that painted them.", "",
            "## Counts", "", *_table(("sets", "number"), [("planned", sets["planned"]), ("kept", sets["kept"]), *lost]), "",
            *_table(("variants", "number"), sets["variants"].items()), "", _USE, "## Recipe", "",
            f"Hash of the configuration: `{record['config_hash']}`.", "", "```yaml",
            yaml.safe_dump(record["config"], sort_keys=False).strip(), "```", "",
        ]
    )  # fmt: skip


def licence_of(model: str, revision: str | None) -> str:
    """The licence that a model's own card states; "not stated" where it has none, "unknown" where no card can be read."""
    if model.startswith(PREFIX):
        return "Apache-2.0 (ships with cfray)"
    path = Path(model_path(model)).expanduser()
    if path.is_dir():
        card = path / CARD
        return _stated(card.read_text()) if card.is_file() else "not stated"
    if model.count("/") != 1 or model.startswith("hf-hub:"):
        return "unknown"
    try:
        return _stated(Path(huggingface_hub.hf_hub_download(model, CARD, revision=revision)).read_text())
    except (HfHubHTTPError, LocalEntryNotFoundError, ValueError):
        return "unknown"


def _stated(card: str) -> str:
    """``license`` of a card's YAML front matter."""
    _, opened, rest = card.partition("---\n")
    head = yaml.safe_load(rest.partition("\n---")[0]) if opened and card.startswith("---\n") else None
    return str(head.get("license", "not stated")) if isinstance(head, dict) else "not stated"


def _table(heads: tuple[str, ...], rows: Any) -> list[str]:
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
