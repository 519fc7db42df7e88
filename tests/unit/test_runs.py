import json
import platform
import sys

import pytest

from cfray.config import build_config
from cfray.errors import UserError
from cfray.runs import Record, finished_record, run_job
from cfray.train.config import TrainConfig

TRAIN = {"output": "o", "data": "d", "model": "world:clip"}
CONFIG = build_config(TrainConfig, TRAIN)


def test_only_a_finished_run_counts(tmp_path):
    place = str(tmp_path)
    assert finished_record(place, CONFIG) is None
    record = Record(place, "train", CONFIG)
    record.start()
    assert finished_record(place, CONFIG) is None
    with record.timed("train"):
        pass
    record.finish(checkpoint="there")
    found = finished_record(place, CONFIG)
    assert found["result"] == {"checkpoint": "there"}
    assert found["seconds"]["train"] >= 0
    assert json.loads((tmp_path / "record.json").read_text()) == found


def test_a_run_that_was_killed_keeps_its_starts(tmp_path, monkeypatch):
    monkeypatch.setenv("CFRAY_REVISION", "abc123")
    for _ in range(2):
        record = Record(str(tmp_path), "train", CONFIG)
        record.start()
    record.finish()
    found = json.loads((tmp_path / "record.json").read_text())
    assert len(found["started"]) == 2
    assert found["hosts"] == [platform.node()]
    assert found["seeds"] == {"seed": 0}
    assert found["git_revision"] == "abc123"
    assert {"ray", "torch", "cfray"} <= found["packages"].keys()


def test_another_configuration_is_refused_by_name(tmp_path):
    Record(str(tmp_path), "train", CONFIG).finish()
    other = build_config(TrainConfig, TRAIN | {"loss": {"beta_cf": 3.0}})
    with pytest.raises(UserError, match="loss.beta_cf: 1.0 there, 3.0 here"):
        finished_record(str(tmp_path), other)


def run(monkeypatch, capsys, arguments, job):
    monkeypatch.setattr(sys, "argv", ["job.py", *arguments])
    run_job(TrainConfig, "a job", job)
    return capsys.readouterr().out


def test_a_key_that_came_later_has_its_default_in_older_runs(tmp_path):
    record = Record(str(tmp_path), "train", CONFIG)
    record.start()
    record.finish()
    older = json.loads((tmp_path / "record.json").read_text())
    del older["config"]["seed"], older["config"]["loss"]["beta_cf"]
    (tmp_path / "record.json").write_text(json.dumps(older | {"config_hash": "of then"}))
    assert finished_record(str(tmp_path), CONFIG)["config_hash"] == "of then"
    with pytest.raises(UserError, match=r"another configuration \(seed: 0 there, 1 here\)"):
        finished_record(str(tmp_path), build_config(TrainConfig, TRAIN | {"seed": 1}))


def test_the_last_line_is_the_result(monkeypatch, capsys):
    out = run(monkeypatch, capsys, [f"{key}={value}" for key, value in TRAIN.items()], lambda config: config.output)
    assert out.splitlines()[-1] == "result: o"


def test_user_errors_are_one_line_and_exit_2(monkeypatch, capsys):
    def job(config):
        raise UserError("workers=9 do not fit")

    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, capsys, [f"{key}={value}" for key, value in TRAIN.items()], job)
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: workers=9 do not fit\n"


def test_other_errors_keep_their_traceback(monkeypatch, capsys):
    with pytest.raises(ZeroDivisionError):
        run(monkeypatch, capsys, [f"{key}={value}" for key, value in TRAIN.items()], lambda config: str(1 / 0))


def test_a_worker_whose_disk_is_full_ends_the_job_with_one_line(monkeypatch, capsys):
    def job(config):
        raise RuntimeError("Training failed:\n[Rank 0]\nOSError: [Errno 28] No space left on device: 'x'\n")

    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, capsys, [f"{key}={value}" for key, value in TRAIN.items()], job)
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: no space left (OSError: [Errno 28] No space left on device: 'x'); free some and run the job again: it goes on\n"
    )
