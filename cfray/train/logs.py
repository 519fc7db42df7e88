"""Where the numbers of a run go while it trains: TensorBoard, MLflow, Weights & Biases, each through its own client."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

from torch.utils.tensorboard import SummaryWriter

from cfray import storage
from cfray.config import config_hash
from cfray.errors import UserError
from cfray.train.config import TrainConfig

TENSORBOARD = "tensorboard"


class Log(Protocol):
    def write(self, step: int, numbers: dict[str, float]) -> None: ...

    def close(self) -> None: ...


def open_logs(config: TrainConfig, first: int) -> list[Log]:
    """The logs that the configuration asks for; a run that goes on at ``first`` goes on in them.

    Raises:
        UserError: if a client is not installed.
    """
    logs: list[Log] = []
    if config.log.tensorboard:
        logs.append(TensorBoard(storage.join(config.output, TENSORBOARD), first))
    if config.log.mlflow is not None:
        logs.append(MLflow(config))
    if config.log.wandb is not None:
        logs.append(WandB(config))
    return logs


def require_clients(config: TrainConfig) -> None:
    """Refuse a log whose client is not installed, before anything is written."""
    if config.log.mlflow is not None:
        _mlflow()
    if config.log.wandb is not None:
        _wandb()


class TensorBoard:
    """Event files below ``place``; those of a remote place are written locally and sent there when the log is closed."""

    def __init__(self, place: str, first: int):
        self._place, self._scratch = place, None
        if storage.is_remote(place):
            self._scratch = tempfile.TemporaryDirectory(prefix="cfray-tensorboard-")
        # A run that goes on throws away what was logged after its checkpoint.
        self._writer = SummaryWriter(self._scratch.name if self._scratch else place, purge_step=first or None)

    def write(self, step: int, numbers: dict[str, float]) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()
        if self._scratch is not None:
            storage.upload_folder(Path(self._scratch.name), self._place)
            self._scratch.cleanup()


class MLflow:
    """A run named by the configuration's hash at the tracking URI; a resumed run goes on in it."""

    def __init__(self, config: TrainConfig):
        self._mlflow, name = _mlflow(), f"cfray-{config_hash(config)}"
        self._mlflow.set_tracking_uri(config.log.mlflow)
        earlier = self._mlflow.search_runs(filter_string=f"tags.mlflow.runName = '{name}'", output_format="list")
        self._mlflow.start_run(run_id=earlier[0].info.run_id if earlier else None, run_name=name)
        if not earlier:
            self._mlflow.log_params(_flat(config.model_dump(mode="json")))

    def write(self, step: int, numbers: dict[str, float]) -> None:
        self._mlflow.log_metrics(numbers, step=step)

    def close(self) -> None:
        self._mlflow.end_run()


class WandB:
    """A run of the project whose id is the configuration's hash; a resumed run goes on in it."""

    def __init__(self, config: TrainConfig):
        identity = f"cfray-{config_hash(config)}"
        self._run = _wandb().init(
            project=config.log.wandb, id=identity, name=identity, resume="allow", config=config.model_dump(mode="json"),
            dir=None if storage.is_remote(config.output) else config.output,
        )  # fmt: skip

    def write(self, step: int, numbers: dict[str, float]) -> None:
        self._run.log(numbers, step=step)

    def close(self) -> None:
        self._run.finish()


class Throughput:
    """Sets and images per second and the share of the time that was spent waiting for data, since the last reading."""

    def __init__(self, sets_per_step: int, images_per_step: int):
        self._per_step = {"sets_per_second": sets_per_step, "images_per_second": images_per_step}
        self._since, self._waited = time.monotonic(), 0.0

    def read(self, steps: int, waited: float) -> dict[str, float]:
        """``steps`` since the last reading, ``waited`` seconds since the start."""
        now = time.monotonic()
        seconds = max(now - self._since, 1e-9)
        rates = {name: steps * each / seconds for name, each in self._per_step.items()}
        rates["waiting"] = (waited - self._waited) / seconds
        self._since, self._waited = now, waited
        return rates


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in data.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _mlflow():
    try:
        import mlflow
    except ImportError:
        raise UserError("log.mlflow needs MLflow's client; pip install 'cfray[mlflow]'") from None
    return mlflow


def _wandb():
    try:
        import wandb
    except ImportError:
        raise UserError("log.wandb needs the client of Weights & Biases; pip install 'cfray[wandb]'") from None
    return wandb
