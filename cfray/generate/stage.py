"""What every model stage shares: rows in, the same rows out, an error marks its row and the job goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import diffusers
import huggingface_hub
import pyarrow as pa
import torch
import transformers

from cfray.generate.config import ModelConfig, StageConfig
from cfray.world.models import model_path

Row = dict[str, Any]


class RowRejectedError(Exception):
    """Raised by a stage for a row that fails a check; ``check`` names it in the row's status."""

    def __init__(self, check: str, message: str):
        super().__init__(message)
        self.check = check


class Stage:
    """A callable over Arrow tables for ``Dataset.map_batches``: loads its model once, then handles row after row.

    Rows that an earlier stage rejected or failed pass through untouched. A rejected row gets the status
    ``rejected:<check>``, a row whose stage raised gets ``failed:<stage>`` and the error's text.
    """

    name: ClassVar[str]

    def __init__(self):
        quiet_libraries()

    def __call__(self, table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        self.process_all([row for row in rows if not row["status"]])
        return pa.Table.from_pylist(rows, schema=table.schema)

    def process(self, row: Row) -> None:
        """Fill the columns of this stage in ``row``."""
        raise NotImplementedError

    def process_all(self, rows: list[Row]) -> None:
        """Handle all open rows of a batch; a stage that does several in one model call overrides this."""
        for row in rows:
            self.attempt(row, self.process)

    def attempt(self, row: Row, work: Callable[[Row], None]) -> None:
        """Do ``work`` on a row; what it raises becomes the row's status."""
        try:
            work(row)
        except RowRejectedError as rejection:
            row["status"], row["error"] = f"rejected:{rejection.check}", str(rejection)
        except Exception as error:  # One bad row must not end a job of thousands; its error is kept in the row.
            row["status"], row["error"] = f"failed:{self.name}", f"{type(error).__name__}: {error}"


def quiet_libraries() -> None:
    """Turn off the progress bars of model loading: dozens of actors would each draw their own into the job's log."""
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


def use_device(config: StageConfig) -> torch.device:
    """The actor's device; on a CPU, torch is held to the CPUs that Ray gave the actor."""
    device = torch.device(config.device or ("cuda" if config.num_gpus > 0 else "cpu"))
    if device.type == "cpu":
        torch.set_num_threads(max(1, int(config.num_cpus)))
    return device


def revision_of(config: ModelConfig) -> str | None:
    """The commit of a loaded Hugging Face id, from the local cache that it was loaded into; None for a folder."""
    path = model_path(config.model)
    if Path(path).is_dir():
        return None
    for file in ("model_index.json", "config.json"):
        found = huggingface_hub.try_to_load_from_cache(path, file, revision=config.revision)
        if isinstance(found, str):
            return Path(found).parent.name
    return None


def record_model(row: Row, role: str, model: str, revision: str | None) -> None:
    """Note in a row which model, of which revision, played a role."""
    row["models"] = (row["models"] or {}) | {role: {"id": model, "revision": revision}}
