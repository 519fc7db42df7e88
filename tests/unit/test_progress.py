import json
import re
import threading
from pathlib import Path

import pytest

from cfray.progress import METRICS, Progress, every_minute

DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana-dashboard.json"


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_the_line_has_what_an_operator_asks(clock):
    progress = Progress("generate", 100, finished=40, pools={"base": 1, "inpaint": 2}, clock=clock)
    assert progress.line() == "[generate] 40/100 sets, 0 sets/s, ETA unknown"
    clock.now = 10.0
    progress.work("base", 5.0, {"": 4})
    progress.work("inpaint", 10.0, {"": 3, "failed:inpaint": 1})
    clock.now = 20.0
    progress.work("inpaint", 10.0, {"": 4})
    progress.finish(20, {"kept": 18, "rejected:gender": 1, "failed:inpaint": 1})
    assert progress.line() == (
        "[generate] 60/100 sets, 1 sets/s, ETA 0:00:40; busy: base 33%, inpaint 50%; "
        "failed:inpaint 1, kept 18, rejected:gender 1"
    )


def test_only_this_runs_units_count_for_the_rate(clock):
    progress = Progress("train", 1000, finished=900, unit="steps", clock=clock)
    clock.now = 60.0
    progress.finish(30)
    assert progress.line() == "[train] 930/1000 steps, 0.5 steps/s, ETA 0:02:20"


def test_lines_come_for_as_long_as_the_block_runs(capsys):
    said = threading.Semaphore(0)

    def line() -> str:
        said.release()
        return "[job] so far"

    with every_minute(line, seconds=0.01):
        assert all(said.acquire(timeout=60) for _ in range(3))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 3
    assert set(lines) == {"[job] so far"}


def test_the_dashboard_asks_for_metrics_that_there_are():
    dashboard = json.loads(DASHBOARD.read_text())
    asked = set(re.findall(r"ray_(cfray_[a-z_]+?)(?:_total)?\{", DASHBOARD.read_text()))
    assert asked == set(METRICS)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) == 9
    assert not re.search(r"https?://", DASHBOARD.read_text())
