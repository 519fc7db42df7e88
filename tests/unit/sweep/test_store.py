import pandas as pd
import pyarrow.parquet as pq
import pytest

from cfray.errors import UserError
from cfray.sweep.config import ConstraintConfig
from cfray.sweep.findings import conclude, distinct_points, overhead
from cfray.sweep.objectives import score, summarise_trial
from cfray.sweep.store import SCHEMA, Store, ended_trials

ANY = ConstraintConfig(max_lost=0.01)


def measure(store, make_point, trial, parameters, skews, accuracies, constraint=ANY):
    base = make_point(0.0, 0.9, 0.8)
    for alpha, skew, accuracy in zip((0.0, 1.0), skews, accuracies, strict=True):
        point = make_point(alpha, skew, accuracy)
        store.write_point(trial, parameters, point, score(point, base, constraint), 30.0, 5.0)


@pytest.fixture
def store(tmp_path, make_point) -> Store:
    """Two measured trials, one half measured, one failed, one begun."""
    store = Store(str(tmp_path / "sweep"))
    for trial, rate in (("a", 1e-4), ("b", 1e-3), ("c", 1e-4), ("d", 1e-3), ("e", 1e-4)):
        store.begin(trial, {"learning_rate": rate, "loss.beta_cf": 1.0})
    measure(store, make_point, "a", {"learning_rate": 1e-4, "loss.beta_cf": 1.0}, (0.9, 0.5), (0.8, 0.795))
    measure(store, make_point, "b", {"learning_rate": 1e-3, "loss.beta_cf": 1.0}, (0.9, 0.2), (0.8, 0.7))
    point = make_point(0.0, 0.9, 0.8)
    store.write_point("c", {"learning_rate": 1e-4, "loss.beta_cf": 4.0}, point, score(point, point, ANY), 30.0, 5.0)
    store.write_end("d", {"learning_rate": 1e-3, "loss.beta_cf": 4.0}, "failed", "OutOfMemoryError: 2 GiB")
    return store


def test_scores_are_of_the_first_gallery(make_point):
    scores = score(make_point(1.0, 0.5, 0.7), make_point(0.0, 0.9, 0.8), ANY)
    assert scores == pytest.approx(
        {"maxskew": 0.5, "floor": 0.1, "maxskew_above_floor": 0.4, "ndkl": 0.5, "able": 0.6, "accuracy_lost": 0.1}
    )
    with pytest.raises(UserError, match="constraint.accuracy='top1' is not measured; measured are zero_shot_things"):
        score(make_point(1.0, 0.5, 0.7), make_point(0.0, 0.9, 0.8), ConstraintConfig(accuracy="top1"))
    with pytest.raises(UserError, match="no benchmark of evaluate measures fairness"):
        score(make_point(0.0, 0.9, 0.8) | {"fairness": {}}, make_point(0.0, 0.9, 0.8), ANY)


def test_a_trial_reports_its_best_allowed_alpha(make_point):
    base = make_point(0.0, 0.9, 0.8)
    scores = [score(p, base, ANY) for p in (base, make_point(0.5, 0.6, 0.795), make_point(1.0, 0.2, 0.7))]
    told = summarise_trial(scores, ANY)
    assert told["maxskew"] == 0.6
    # Below (0.8, 0.2): 0.3 x 0.195 and, of the other, 0.4 more x 0.1.
    assert told["hypervolume"] == pytest.approx(0.3 * 0.195 + 0.4 * 0.1)


def test_rows_come_back_and_any_reader_of_parquet_finds_them(store, tmp_path):
    rows = store.rows()
    assert rows[["trial", "status"]].drop_duplicates().values.tolist() == [
        ["a", "measured"], ["b", "measured"], ["c", "measured"], ["d", "failed"],
    ]  # fmt: skip
    assert rows["parameters"][0] == {"learning_rate": 1e-4, "loss.beta_cf": 1.0}
    assert rows["point"][1]["accuracy"]["zero_shot_things"] == 0.795
    assert pq.read_table(tmp_path / "sweep" / "rows").num_rows == len(rows) == 6
    assert set(store.begun()) == {"a", "b", "c", "d", "e"}


def test_an_empty_store_has_the_same_columns(tmp_path):
    assert list(Store(str(tmp_path / "nothing")).rows().columns) == SCHEMA.names


def test_ended_are_trials_with_all_alphas_or_a_reason(store):
    assert ended_trials(store.rows(), [0.0, 1.0]) == {"a", "b", "d"}
    assert ended_trials(store.rows(), [0.0, 0.5, 1.0]) == {"d"}


def test_a_row_written_again_is_one_row(store, make_point):
    measure(store, make_point, "a", {"learning_rate": 1e-4, "loss.beta_cf": 1.0}, (0.9, 0.4), (0.8, 0.79))
    rows = store.rows()
    assert len(rows) == 6 and rows["maxskew"][1] == 0.4


def test_conclusion(store, sweep_config):
    config = sweep_config(constraint={"max_lost": 0.01})
    result = conclude(config, store.rows())
    assert result["trials"] == {"measured": 3, "failed": 1, "stopped": 0}
    assert result["ended_otherwise"] == [{"trial": "d", "status": "failed", "reason": "OutOfMemoryError: 2 GiB"}]
    assert [(row["trial"], row["alpha"]) for row in result["front"]] == [("a", 0.0), ("a", 1.0), ("b", 1.0)]
    assert (result["chosen"]["trial"], result["chosen"]["alpha"]) == ("a", 1.0)
    assert "trial=a alpha=1" in result["chosen"]["export"]
    assert result["points"] == len(distinct_points(store.rows())) == 3
    assert conclude(config, store.rows().iloc[:0])["chosen"] is None


def test_parameters_that_matter_get_the_share(sweep_config, tmp_path, make_point):
    store = Store(str(tmp_path / "many"))
    for i, rate in enumerate((1e-4, 1e-3)):
        for j, beta in enumerate((1.0, 4.0, 16.0)):
            parameters = {"learning_rate": rate, "loss.beta_cf": beta}
            measure(store, make_point, f"{i}{j}", parameters, (0.9, 0.8 - 0.3 * i - 0.01 * j), (0.8, 0.8))
    found = conclude(sweep_config(), store.rows())["importance"]
    assert found["maxskew_above_floor"]["learning_rate"] > 0.9
    assert "accuracy_lost" not in found  # it does not vary


def test_overhead_is_wall_time_on_the_slots_over_own_time(store):
    rows = store.rows()
    nothing, first = rows.iloc[:0], rows[rows["trial"] == "a"]
    # Three trials of 30 s and five alphas of 5 s: 115 s.
    assert overhead(nothing, rows, 60.0, 2) == {
        "ratio": pytest.approx(120 / 115), "wall_seconds": 60.0, "own_seconds": 115.0, "in_flight": 2
    }  # fmt: skip
    assert overhead(first, rows, 60.0, 4)["own_seconds"] == 75.0
    assert pd.isna(overhead(rows, rows, 1.0, 2)["ratio"])
