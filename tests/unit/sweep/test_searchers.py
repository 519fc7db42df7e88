import numpy as np
import pytest
from ray.tune.search import Searcher

from cfray.errors import UserError
from cfray.sweep.config import trial_name
from cfray.sweep.searchers import build_searcher, planned_points

RANGES = {
    "learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
    "images_per_set": {"low": 2, "high": 5},
    "loss.form": {"choice": ["supcon", "cosine"]},
}
OPTUNA = {"kind": "optuna", "startup": 2}


def drain(searcher, most=100):
    found = []
    for i in range(most):
        suggested = searcher.suggest(str(i))
        if suggested == Searcher.FINISHED:
            break
        found.append(suggested)
    return found


def result(skew: float) -> dict:
    return {"maxskew_above_floor": skew, "accuracy_lost": 0.0, "ndkl": skew}


def test_a_grid_is_every_combination_in_order(sweep_config):
    searcher, count = build_searcher(sweep_config(), {}, {})
    points = [suggested["parameters"] for suggested in drain(searcher)]
    assert count == len(points) == 6
    assert points[:2] == [{"learning_rate": 1e-4, "loss.beta_cf": 1.0}, {"learning_rate": 1e-4, "loss.beta_cf": 4.0}]
    with pytest.raises(UserError, match="search.kind=grid needs choices, space.learning_rate is a range"):
        build_searcher(sweep_config(space=RANGES), {}, {})


def test_random_draws_are_the_same_in_every_run_and_lie_in_the_space(sweep_config):
    config = sweep_config(space=RANGES, search={"kind": "random", "seed": 3}, trials=40)
    points = planned_points(config)
    assert points == planned_points(config) and len(points) == 40
    rates = np.array([point["learning_rate"] for point in points.values()])
    assert ((rates >= 1e-5) & (rates <= 1e-3)).all() and 0.3 < (rates < 1e-4).mean() < 0.7
    assert {point["images_per_set"] for point in points.values()} == {2, 3, 4, 5}
    assert {point["loss.form"] for point in points.values()} == {"supcon", "cosine"}


def test_a_small_space_ends_and_has_no_trial_twice(sweep_config):
    assert len(planned_points(sweep_config(search={"kind": "random"}, trials=50))) == 6


def test_what_has_ended_is_not_suggested_again(sweep_config):
    config = sweep_config()
    points = planned_points(config)
    names = list(points)
    searcher, count = build_searcher(config, {}, {name: (points[name], result(0.1)) for name in names[:4]})
    assert count == 2 and [suggested["trial"] for suggested in drain(searcher)] == names[4:]


def test_a_study_learns_from_earlier_trials_and_goes_on_with_open_ones(sweep_config):
    config = sweep_config(space=RANGES, search=OPTUNA, trials=10)
    points = planned_points(config.model_copy(update={"search": sweep_config(search={"kind": "random"}).search}))
    names = list(points)
    ended = {name: (points[name], result(0.1) if i else None) for i, name in enumerate(names[:4])}
    open_trials = {names[4]: points[names[4]]}
    searcher, count = build_searcher(config, open_trials, ended)
    assert count == 6
    first = searcher.suggest("0")
    assert first["trial"] == names[4] and first["parameters"] == pytest.approx(points[names[4]])
    searcher.on_trial_complete("0", result(0.2))
    searcher.suggest("1")
    searcher.on_trial_complete("1", None, error=True)
    states = [trial.state.name for trial in searcher._study.trials]
    assert states == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE", "COMPLETE", "FAIL"]


def test_a_study_asks_for_no_trial_twice_and_ends_with_its_space(sweep_config):
    config = sweep_config(search=OPTUNA, trials=50)
    searcher, _ = build_searcher(config, {}, {})
    names = [suggested["trial"] for suggested in drain(searcher)]
    assert len(names) == len(set(names)) == 6 and searcher.exhausted


def test_choices_of_any_kind_pass_through_a_study(sweep_config):
    space = {"locked": {"choice": [[], ["visual."]]}}
    searcher, _ = build_searcher(sweep_config(space=space, search=OPTUNA, trials=2), {}, {})
    found = [suggested["parameters"]["locked"] for suggested in drain(searcher)]
    assert sorted(found) == [[], ["visual."]]


def test_the_study_moves_to_where_the_objectives_are_small(sweep_config):
    config = sweep_config(
        space={"learning_rate": {"low": 1e-5, "high": 1e-3}}, search={"kind": "optuna", "startup": 5}, trials=40
    )
    searcher, _ = build_searcher(config, {}, {})
    rates = []
    for i in range(40):
        rates.append(searcher.suggest(str(i))["parameters"]["learning_rate"])
        searcher.on_trial_complete(str(i), result(rates[-1]))
    assert np.median(rates[-10:]) < 2e-4
    assert trial_name(config.training({"learning_rate": rates[0]})) in searcher._known
