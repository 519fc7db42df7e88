import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import cfray.clip
from cfray.clip.model import load_clip
from cfray.config import build_config
from cfray.errors import UserError
from cfray.sweep.config import ExportConfig, ShowConfig, SweepConfig
from cfray.sweep.export import export, show
from cfray.sweep.job import sweep
from cfray.sweep.searchers import planned_points
from cfray.sweep.store import Store
from tests.integration.conftest import REPOSITORY
from tests.small_benchmarks import MEASURING, TRAINING, write_benchmarks

OPTUNA = {"kind": "optuna", "startup": 2}
PATIENCE_SECONDS = 300


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory) -> list[dict]:
    return write_benchmarks(tmp_path_factory.mktemp("benchmarks"))


@pytest.fixture
def recipe(dataset, benchmarks, tmp_path):
    """Builds a sweep of short trials over two alphas, over the learning rate."""

    def build(rates=(1e-4, 1e-3), train=None, evaluate=None, **changes) -> SweepConfig:
        training = TRAINING | {"data": dataset}
        measuring = MEASURING | {"benchmarks": benchmarks}
        data = {
            "output": str(tmp_path / "sweep"), "train": training | (train or {}), "evaluate": measuring | (evaluate or {}),
            "space": {"learning_rate": {"choice": list(rates)}}, "search": {"kind": "grid"}, "trials": len(rates),
        }  # fmt: skip
        return build_config(SweepConfig, data | changes)

    return build


def keys(config: SweepConfig) -> list[tuple[str, float]]:
    """The rows (trial, alpha) of a sweep with alpha -1 for a trial that has none."""
    return [(row.trial, -1 if row.alpha != row.alpha else row.alpha) for row in Store(config.output).rows().itertuples()]


def expected(config: SweepConfig) -> list[tuple[str, float]]:
    return sorted((name, alpha) for name in planned_points(config) for alpha in config.evaluating("").alphas)


def test_a_sweep_measures_chooses_reports_and_exports(recipe, benchmarks, tmp_path):
    # The last rate destroys the weights at once.
    config = recipe(rates=(1e-4, 1e-3, 1e30), report=benchmarks)
    record = sweep(config)
    result, rows = record["result"], Store(config.output).rows()
    measured, failed = rows[rows["status"] == "measured"], rows[rows["status"] == "failed"]
    assert sorted(zip(measured["trial"], measured["alpha"], strict=True)) == [
        key for key in expected(config) if key[0] not in set(failed["trial"])
    ]
    assert len(failed) == 1 and "not finite" in failed["reason"].item()
    assert result["trials"] == {"measured": 2, "failed": 1, "stopped": 0}
    assert result["overhead"]["in_flight"] == 2 and result["overhead"]["ratio"] > 1
    chosen = result["chosen"]
    assert chosen["reported"]["scores"]["chosen"]["maxskew"] == pytest.approx(chosen["maxskew"], abs=0.5)
    assert sweep(config) == record
    with pytest.raises(UserError, match="holds a run with another configuration"):
        sweep(recipe(rates=(1e-4,)))

    logged = [EventAccumulator(str(file.parent)) for file in Path(config.output).glob("tune/*/events.*")]
    assert len(logged) == 3
    tags = {tag for log in logged for tag in log.Reload().Tags()["scalars"]}
    assert "ray/tune/maxskew_above_floor" in tags
    assert sum("_hparams_/session_start_info" in log.summary_metadata for log in logged) >= 2

    page = Path(show(ShowConfig(sweep=config.output)))
    assert chosen["export"] in page.read_text() and "http-equiv" not in page.read_text()
    trial = measured["trial"].iloc[0]
    place = export(ExportConfig(sweep=config.output, trial=trial, alpha=0.5, output=str(tmp_path / "exported")))
    blended = cfray.clip.load(config.evaluating(trial).tuned, alpha=0.5).model.state_dict()
    written = load_clip(place).model.state_dict()
    assert all((written[key] == value).all() for key, value in blended.items())

    # As a crash would leave it: the next run measures what is missing and nothing else.
    (Path(config.output) / "record.json").unlink()
    Path(config.output, "rows", f"{trial}-0.5000.parquet").unlink()
    before = {file: file.stat().st_mtime_ns for file in Path(config.output, "rows").iterdir()}
    found = keys(config)
    sweep(config)
    assert keys(config) == sorted([*found, (trial, 0.5)])
    assert before == {file: file.stat().st_mtime_ns for file in before}


def test_a_study_of_several_objectives_ends_bad_trials_early(recipe):
    rates = [3e-4, 1e-3, 1e-4, 1e-5]
    asha = {"metric": "able", "mode": "max", "grace": 1, "reduction": 2}
    config = recipe(rates=rates, search=OPTUNA, asha=asha, max_concurrent=1, evaluate={"alphas": [0.0, 1.0]})
    result = sweep(config)["result"]
    rows = Store(config.output).rows()
    assert rows["trial"].nunique() == 4 and result["trials"]["failed"] == 0
    stopped = rows[rows["status"] == "stopped"]
    assert all(reason.startswith("by ASHA at step") for reason in stopped["reason"])
    assert result["trials"]["measured"] + result["trials"]["stopped"] == 4
    assert len(rows) == 2 * result["trials"]["measured"] + result["trials"]["stopped"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"workers": 40, "sets_per_batch": 40}}, "a trial needs 40 CPUs, the cluster has 4, so none can run"),
        ({"train": {"step": 3}}, "unknown configuration key 'step'"),
        ({"train": {"data": "nowhere"}}, "no data set at 'nowhere'"),
        ({"evaluate": {"alphas": [1.0]}}, "must hold 0"),
        ({"train": {"workers": 1}, "asha": {}}, "asha.metric=able needs training inside the trial"),
        ({"space": {"learning_rate": {"low": 1e-5, "high": 1e-3}}}, "search.kind=grid needs choices"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_written(recipe, changes, message):
    config = recipe(**changes)
    with pytest.raises(UserError, match=message):
        sweep(config)
    assert not Path(config.output).exists()


@pytest.mark.slow
def test_trials_with_workers_of_their_own(recipe):
    asha = {"metric": "loss", "mode": "min", "grace": 3}
    config = recipe(rates=(1e-3,), train={"workers": 2}, evaluate={"workers": 2, "alphas": [0.0, 1.0]}, asha=asha)
    result = sweep(config)["result"]
    assert keys(config) == expected(config) and result["overhead"]["in_flight"] == 1


@pytest.mark.slow
def test_a_trial_whose_process_dies_begins_anew(recipe):
    config, killed = recipe(train={"steps": 12}, max_concurrent=1), []

    def kill_one() -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not killed and time.monotonic() < deadline:
            if list(Path(config.output).glob("trials/*/train/record.json")):
                for process in psutil.process_iter(["cmdline"]):
                    # By what Ray calls the worker that runs a trial, and only below this test's own raylet.
                    if "ImplicitFunc" in " ".join(process.info["cmdline"] or ()) and _is_ours(process):
                        process.send_signal(signal.SIGKILL)
                        killed.append(process.pid)
                        return
            time.sleep(0.1)

    thread = threading.Thread(target=kill_one, daemon=True)
    thread.start()
    sweep(config)
    thread.join()
    assert killed and keys(config) == expected(config)


@pytest.mark.slow
def test_a_sweep_whose_driver_is_killed_goes_on(recipe, tmp_path):
    config = recipe()
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_none=True)))
    command = [sys.executable, str(REPOSITORY / "jobs" / "sweep.py"), "--config", str(file)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "RAY_ADDRESS": "local"}
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, start_new_session=True)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not list(Path(config.output).glob("rows/*.parquet")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    known = set(keys(config))
    assert known <= set(expected(config))
    sweep(config)
    assert keys(config) == expected(config)


def _is_ours(process: psutil.Process) -> bool:
    try:
        ours = {child.pid for child in psutil.Process().children(recursive=True)}
        return process.pid in ours
    except psutil.NoSuchProcess:
        return False
