import pytest

from cfray.config import build_config
from cfray.sweep.config import SweepConfig
from tests.unit.sweep.example import make_point


@pytest.fixture
def sweep_config(tmp_path):
    """Builds a sweep of two keys; nothing of it exists."""

    def build(**changes) -> SweepConfig:
        data = {
            "output": str(tmp_path / "sweep"),
            "train": {"data": "sets", "model": "world:clip", "steps": 4, "workers": 0},
            "evaluate": {"benchmarks": [{"kind": "world", "k": 10}], "alphas": [0.0, 1.0], "workers": 0},
            "space": {"learning_rate": {"choice": [1e-4, 1e-3]}, "loss.beta_cf": {"choice": [1.0, 4.0, 16.0]}},
            "search": {"kind": "grid"},
            "trials": 6,
        }
        return build_config(SweepConfig, data | changes)

    return build


@pytest.fixture(name="make_point")
def make_point_fixture():
    return make_point
