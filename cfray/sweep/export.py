"""What is done with a sweep that is there: its page drawn anew, the checkpoint of one of its points written."""

from __future__ import annotations

import json

from cfray import storage
from cfray.clip.model import save_clip
from cfray.clip.pair import load_pair
from cfray.config import build_config
from cfray.errors import UserError
from cfray.sweep.config import ExportConfig, ShowConfig, SweepConfig
from cfray.sweep.findings import conclude
from cfray.sweep.page import write_page
from cfray.sweep.store import Store


def show(config: ShowConfig) -> str:
    """Draw the page from the rows that are there now; returns its place.

    Raises:
        UserError: if there is no sweep at the place.
    """
    record = json.loads(storage.read_bytes(storage.join(config.sweep, "record.json")))
    sweep = _moved(record["config"], config.sweep)
    rows = Store(config.sweep).rows()
    result = record["result"] or conclude(sweep, rows)
    return write_page(sweep, rows, result, running=record["finished"] is None)


def export(config: ExportConfig) -> str:
    """Write the blend of a trial at alpha as a checkpoint; returns its place.

    Raises:
        UserError: if there is no such sweep or trial, or the trial has no checkpoint.
    """
    record = json.loads(storage.read_bytes(storage.join(config.sweep, "record.json")))
    begun = Store(config.sweep).begun()
    if config.trial not in begun:
        raise UserError(f"trial={config.trial!r} is none of the {len(begun)} trials of sweep {config.sweep!r}")
    evaluating = _moved(record["config"], config.sweep).evaluating(config.trial)
    pair = load_pair(evaluating.base, evaluating.tuned)
    save_clip(pair.clip, evaluating.base, pair.at(config.alpha), config.output)
    return config.output


def _moved(data: dict, place: str) -> SweepConfig:
    """The configuration of a sweep at the place where it lies now."""
    return build_config(SweepConfig, data | {"output": place})
