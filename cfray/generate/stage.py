"""What every model stage shares: rows in, the same rows out, an error marks its row and the job goes on."""

from __future__ import annotations

from typing import Any, ClassVar

import diffusers
import pyarrow as pa
import torch
import transformers

from cfray.generate.config import StageConfig

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
        for row in rows:
            if not row["status"]:
                self._handle(row)
        return pa.Table.from_pylist(rows, schema=table.schema)

    def process(self, row: Row) -> None:
        """Fill the columns of this stage in ``row``."""
        raise NotImplementedError

    def _handle(self, row: Row) -> None:
        try:
            self.process(row)
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
    if config.num_gpus > 0:
        return torch.device("cuda")
    torch.set_num_threads(max(1, int(config.num_cpus)))
    return torch.device("cpu")


def record_model(row: Row, role: str, model: str, revision: str | None) -> None:
    """Note in a row which model, of which revision, played a role."""
    row["models"] = (row["models"] or {}) | {role: {"id": model, "revision": revision}}
