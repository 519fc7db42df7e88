from pathlib import Path

import pytest

from cfray.config import load_config
from cfray.errors import UserError
from cfray.sweep.config import SweepConfig, trial_name
from cfray.sweep.job import corners, trials_in_flight


def test_a_trial_is_named_by_what_it_trains(sweep_config):
    config, elsewhere = sweep_config(), sweep_config(output="elsewhere")
    training = config.training({"learning_rate": 1e-3, "loss.beta_cf": 4.0})
    assert (training.learning_rate, training.loss.beta_cf, training.steps) == (1e-3, 4.0, 4)
    assert training.output.endswith(f"trials/{trial_name(training)}/train")
    assert trial_name(elsewhere.training({"learning_rate": 1e-3, "loss.beta_cf": 4.0})) == trial_name(training)
    assert trial_name(config.training({"learning_rate": 1e-3, "loss.beta_cf": 16.0})) != trial_name(training)
    # A default written out is the same trial.
    assert trial_name(config.training({"learning_rate": 1e-3, "loss.beta_cf": 4.0, "warmup": 10})) == trial_name(training)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {"learning_rate": {"low": 1.0}}}, "give either choice, or low and high"),
        ({"space": {"learning_rate": {"low": 1.0, "high": 0.5}}}, "low=1.0 is not below high=0.5"),
        ({"space": {"learning_rate": {"low": 0.0, "high": 0.5, "log": True}}}, "log needs a low above 0"),
        ({"space": {"learning_rate": {"low": 0.0, "high": 0.5, "choice": [1]}}}, "give either choice"),
        ({"search": {"kind": "bayes"}}, "search.kind='bayes' is unknown"),
        ({"search": {"kind": "optuna", "objectives": ["speed"]}}, "search.optuna.objectives.0='speed'"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(sweep_config, changes, message):
    with pytest.raises(UserError, match=message):
        sweep_config(**changes)


def test_values_that_training_refuses_name_their_key(sweep_config):
    config = sweep_config()
    with pytest.raises(UserError, match="learning_rat"):
        config.training({"learning_rat": 1.0})
    with pytest.raises(UserError, match="goes into 'steps'"):
        config.training({"steps.more": 1.0})
    with pytest.raises(UserError, match=r"leave it out"):
        sweep_config(train={"output": "x", "data": "sets", "model": "world:clip"}).training({})


def test_trials_in_flight_follow_from_what_one_needs(sweep_config):
    def flight(config, **resources):
        return trials_in_flight(config, resources, [config.training({})])

    assert flight(sweep_config(), CPU=4.0) == 4
    assert flight(sweep_config(max_concurrent=3), CPU=4.0) == 3
    assert flight(sweep_config(trials=2), CPU=4.0) == 2
    wide = {"data": "sets", "model": "world:clip", "workers": 4, "gpus_per_worker": 1, "cpus_per_worker": 2}
    assert flight(sweep_config(train=wide), CPU=32.0, GPU=8.0) == 2
    assert flight(sweep_config(train=wide), CPU=8.0, GPU=8.0) == 1
    with pytest.raises(UserError, match=r"a trial needs 4 GPUs, the cluster has 2, so none can run"):
        flight(sweep_config(train=wide), CPU=32.0, GPU=2.0)


@pytest.mark.parametrize(("name", "alphas", "points"), [("sweep-world", 11, 12), ("sweep-vitb16", 11, 48)])
def test_the_shipped_recipes_are_whole(name, alphas, points):
    config = load_config(SweepConfig, str(Path(__file__).parents[3] / f"jobs/configs/{name}.yaml"), [])
    assert all(config.training(point).data == config.train["data"] for point in corners(config.space))
    assert len(config.evaluating("x").alphas) == alphas and config.trials == points
    assert config.reporting("x", [0.0]).benchmarks != config.evaluating("x").benchmarks
