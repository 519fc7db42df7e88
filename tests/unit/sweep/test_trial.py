"""Trials in this process, without Ray: what ``workers: 0`` is."""

from pathlib import Path

import pytest

from cfray.sweep.config import trial_name
from cfray.sweep.store import Store
from cfray.sweep.trial import run_trial
from cfray.train.job import train
from tests.small_benchmarks import MEASURING, TRAINING, write_benchmarks

ASHA = {"metric": "able"}


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory) -> list[dict]:
    return write_benchmarks(tmp_path_factory.mktemp("benchmarks"))


@pytest.fixture
def config(sweep_config, rendered_sets, benchmarks):
    train = TRAINING | {"data": rendered_sets, "steps": 2}
    evaluate = MEASURING | {"benchmarks": benchmarks}
    return sweep_config(train=train, evaluate=evaluate, asha=ASHA)


def test_a_trial_trains_and_writes_a_row_for_every_alpha(config):
    told, parameters = [], {"learning_rate": 1e-4, "loss.beta_cf": 1.0}
    run_trial(config, parameters, told.append)
    store, name = Store(config.output), trial_name(config.training(parameters))
    rows = store.rows()
    assert rows[["trial", "alpha", "status"]].values.tolist() == [[name, alpha, "measured"] for alpha in (0.0, 0.5, 1.0)]
    assert rows["accuracy_lost"][0] == 0 and store.base()["alpha"] == 0
    assert (rows["maxskew"] - rows["floor"] == rows["maxskew_above_floor"]).all()
    assert [row["step"] for row in told] == [1, 2, 3] and [("ended" in row) for row in told] == [False, False, True]
    assert all(0 < row["able"] < 1 for row in told) and told[1]["able"] == pytest.approx(rows["able"][2])

    # What is there is neither trained nor measured again.
    folder = Path(config.output) / "rows"
    file = folder / f"{name}-0.5000.parquet"
    file.unlink()
    before = {other: other.stat().st_mtime_ns for other in folder.iterdir()}
    run_trial(config, parameters, told.append)
    assert file.exists() and before == {other: other.stat().st_mtime_ns for other in before}
    assert store.rows()["maxskew"].tolist() == rows["maxskew"].tolist()


@pytest.mark.parametrize(("asha", "reason"), [(True, "weights have diverged"), (False, "not finite")])
def test_a_trial_that_fails_is_a_row_with_the_reason(config, asha, reason):
    told, parameters = [], {"learning_rate": 1e30, "loss.beta_cf": 1.0}
    config = config if asha else config.model_copy(update={"asha": None})
    run_trial(config, parameters, told.append)
    (row,) = Store(config.output).rows().to_dict("records")
    assert row["status"] == "failed" and reason in row["reason"] and row["alpha"] != row["alpha"]
    assert row["parameters"] == parameters
    assert told[-1]["ended"] and told[-1].get("able", -1) < 0


def test_training_here_leaves_a_finished_run_without_ray(config):
    training = config.training({"learning_rate": 1e-4, "loss.beta_cf": 1.0})
    record = train(training)
    assert [row["step"] for row in record["result"]["curve"]] == [0, 1, 2]
    assert train(training) == record
    assert not (Path(training.output) / "ray").exists() and (Path(training.output) / "checkpoint").is_dir()
