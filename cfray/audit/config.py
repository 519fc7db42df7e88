"""The typed configuration of ``jobs/audit.py``."""

from __future__ import annotations

from pydantic import Field

from cfray.config import Config
from cfray.generate.config import StageConfig


class ShardsConfig(Config):
    """A WebDataset of the kept sets at ``output``; a shard holds whole sets."""

    output: str
    sets_per_shard: int = Field(200, ge=1)


class AuditConfig(StageConfig):
    """``jobs/audit.py``: what the data set at ``data`` holds, written to ``output``.

    ``model`` is a CLIP: diversity is measured over its embeddings, and it reads zero-shot the axes that nothing else reads.
    ``readers`` maps axes to image classifiers in the place of the recipe's own readers.
    """

    data: str
    output: str
    model: str
    readers: dict[str, str] = {}
    sheet_sets: int = Field(2, ge=1, description="sets of each concept that the contact sheets show")
    webdataset: ShardsConfig | None = None
