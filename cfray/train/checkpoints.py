"""What a checkpoint holds: the model as it would be released, and the state from which training goes on exactly."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from torch import nn

from cfray import storage
from cfray.clip.model import ClipModel, save_clip
from cfray.train.lora import merged_state

STATE_FILE = "state.pt"
BEST = "best"
# Of the best weights the two newest stay: the older one may be what the newest checkpoint names.
_BEST_KEPT = 2


@dataclass
class Progress:
    """Where a run is: steps done, rows of the curve, terms of the steps since the last row, and what became of it.

    ``best`` is the row of the best weights so far; ``stopped`` says why the run ended before its last step.
    """

    step: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    since_row: list[dict[str, float]] = field(default_factory=list)
    bad_steps: int = 0
    best: dict[str, float] | None = None
    stopped: str | None = None


class Ema:
    """An exponential moving average of the trainable parameters: average = decay * average + (1 - decay) * parameter."""

    def __init__(self, model: nn.Module, decay: float):
        self._decay = decay
        self._parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.average = {name: p.detach().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        torch._foreach_lerp_(list(self.average.values()), list(self._parameters.values()), 1 - self._decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The average stands in for the parameters inside."""
        own = {name: p.detach().clone() for name, p in self._parameters.items()}
        _copy(self.average, self._parameters)
        try:
            yield
        finally:
            _copy(own, self._parameters)


def write_checkpoint(
    folder: Path,
    clip: ClipModel,
    source: str,
    towers: nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: Ema | None,
    progress: Progress,
) -> None:
    """Write an open_clip folder of the weights to release (the average, updates of LoRA added) and the state beside it."""
    state: dict[str, Any] = {
        "parameters": {name: p.detach() for name, p in towers.named_parameters() if p.requires_grad},
        "optimizer": optimizer.state_dict(),
        "ema": None if ema is None else ema.average,
        "progress": asdict(progress),
    }
    torch.save(state, folder / STATE_FILE)
    with nullcontext() if ema is None else ema.applied():
        save_clip(clip, source, merged_state(clip.model), str(folder))
    storage.write_checksums(folder)


def read_progress(folder: Path) -> Progress:
    return Progress(**torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)["progress"])


def resume(folder: Path, towers: nn.Module, optimizer: torch.optim.Optimizer, ema: Ema | None) -> Progress:
    """Bring a model, freshly built from the same configuration, to where the checkpoint was."""
    state = torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)
    parameters = {name: p for name, p in towers.named_parameters() if p.requires_grad}
    if parameters.keys() != state["parameters"].keys():
        raise ValueError(
            f"checkpoint {folder} trains {len(state['parameters'])} parameters, the configuration {len(parameters)}"
        )
    _copy(state["parameters"], parameters)
    optimizer.load_state_dict(state["optimizer"])
    if ema is not None:
        _copy(state["ema"], ema.average)
    return Progress(**state["progress"])


class BestWeights:
    """Keeps the open_clip folder of the best weights below ``place``; copies are made beside the training thread."""

    def __init__(self, place: str):
        self._place = place
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="best")
        self._pending: Future[None] | None = None

    def keep(self, folder: Path, step: int) -> None:
        """Copy the open_clip files of a checkpoint folder, which may be deleted as soon as this returns."""
        self.wait()
        copy = Path(mkdtemp(prefix="cfray-best-"))
        shutil.copytree(folder, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns(STATE_FILE))
        self._pending = self._pool.submit(self._send, copy, step)

    def wait(self) -> None:
        """Until the last copy is there; its error is raised here."""
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def _send(self, copy: Path, step: int) -> None:
        storage.upload_folder(copy, best_place(self._place, step))
        shutil.rmtree(copy)
        written = sorted({int(file.split("/")[-2].removeprefix("step-")) for file in storage.list_files(self._place)})
        for old in written[:-_BEST_KEPT]:
            for file in list(storage.list_files(best_place(self._place, old))):
                storage.remove(file)


def best_place(place: str, step: int) -> str:
    return storage.join(place, f"step-{step}")


@torch.no_grad()
def _copy(source: dict[str, torch.Tensor], target: dict[str, torch.Tensor]) -> None:
    for name, value in source.items():
        target[name].copy_(value)
