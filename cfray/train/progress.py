"""How far training is, told by Ray Train's controller: the metrics of ``cfray.progress`` and a line a minute."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import ray.train

from cfray.progress import Progress, shown


class StepProgress(ray.train.UserCallback):
    """Counts steps from the workers' reports; the rate is that since the first report, without the loading before it."""

    def __init__(self, steps: int):
        self._steps, self._step, self._lines = steps, 0, None
        self.progress: Progress | None = None

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: ray.train.Checkpoint | None) -> None:
        step = metrics[0]["step"]
        if self.progress is None:  # made here, as this object travels to the controller
            self.progress = Progress("train", self._steps, finished=step, unit="steps")
            self._lines = ExitStack()
            self._lines.enter_context(shown(self.progress.line, self.progress.publish))
        else:
            self.progress.finish(max(0, step - self._step))  # after a failure the steps since the checkpoint come again
        self._step = max(step, self._step)
