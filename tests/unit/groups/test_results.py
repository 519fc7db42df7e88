import json

import numpy as np
import pytest

from cfray.groups.results import gap_closed, seed_interval, summarise_runs

LABELS, GROUPS = np.repeat([0, 0, 1, 1], 10), np.tile(np.repeat([0, 1], 10), 2)


def run(method, seed, wrong):
    """A run that is wrong on the first ``wrong`` samples of class 1 and group 0."""
    predictions = LABELS.copy()
    predictions[20 : 20 + wrong] = 0
    curve = [{"epoch": 1, "accuracy": 0.5, "selection_loss": 1.0, "cell_losses": [0.1, float("nan")]}]
    return {"method": method, "seed": seed, "curve": curve, "epoch": 1, "predictions": predictions.tolist()}


def summary():
    runs = [run("erm", 0, 8), run("erm", 1, 6), run("true", 0, 1), run("true", 1, 3), run("clip", 0, 2), run("clip", 1, 4)]
    return summarise_runs(runs, LABELS, GROUPS, ["w", "m"], ["no", "yes"], None)


def test_metrics_by_hand():
    erm = summary()["erm"]
    assert erm["metrics"]["worst_cell_accuracy"]["seeds"] == pytest.approx([0.2, 0.4])
    assert erm["metrics"]["accuracy"]["value"] == pytest.approx(1 - 7 / 40)
    assert erm["metrics"]["balanced_accuracy"]["value"] == pytest.approx(1 - 7 / 40)
    assert erm["metrics"]["equal_opportunity_gap"]["value"] == pytest.approx(0.7)
    assert [cell["accuracy"] for cell in erm["cells"]] == pytest.approx([1, 1, 0.3, 1])
    assert erm["cells"][2] == {"class": "yes", "group": "w", "samples": 10, "accuracy": pytest.approx(0.3)}
    json.dumps(summary(), allow_nan=False)


def test_the_share_of_the_gap():
    assert gap_closed(summary(), "erm", "true") == {"clip": pytest.approx((0.7 - 0.3) / (0.8 - 0.3))}
    assert gap_closed(summary(), "true", "erm") == {}


def test_the_interval_is_students():
    found = seed_interval([0.8, 0.9, 0.7])
    assert found["value"] == pytest.approx(0.8)
    assert found["high"] - found["value"] == pytest.approx(4.303 * 0.1 / np.sqrt(3), rel=1e-3)
    assert seed_interval([0.5])["low"] is None
