import csv
import io
import re

import numpy as np
import pytest

from cfray.config import build_config
from cfray.errors import UserError
from cfray.evaluate.benchmark import Measurement
from cfray.evaluate.compare_tables import as_csv, as_text
from cfray.evaluate.comparison import comparison
from cfray.evaluate.config import CompareConfig
from cfray.evaluate.images import Gallery, list_images
from cfray.evaluate.one_pass import Weighted, embed_in_one_pass
from cfray.evaluate.suite import able_scores
from cfray.metrics import fairness_of_targets, summarise
from cfray.report.compare import render_comparison, render_sheets

NAMES = ["men", "women"]


def measured(favour: float, hits: list[bool]) -> Measurement:
    """Six queries of two concepts; ``favour`` is added to the scores of the first group for the first concept."""
    rng = np.random.default_rng(0)
    groups = np.arange(60) % 2
    scores = rng.normal(size=(6, 60))
    scores[:3] += favour * (groups == 0)
    both = fairness_of_targets(scores, groups, k=10, group_names=NAMES, n_bootstrap=50, n_floor=20)
    found = Measurement({"faces": {"gender": summarise(both, NAMES)}})
    found.rankings = {"faces": {"gender": both}}
    found.queries = {"faces": ["boss"] * 3 + ["nurse"] * 3}
    found.add_outcomes("zero_shot_imagenet", np.array(hits))
    return found


@pytest.fixture
def result():
    found = {"base": measured(3.0, [True, False] * 20), "fair": measured(0.0, [True] * 40)}
    return comparison(found, "base", "zero_shot_imagenet", 200, 0)


def test_differences_are_the_model_minus_the_reference_with_an_interval(result):
    models, differences = result["models"], result["differences"]
    assert list(differences) == ["fair"]
    row = differences["fair"]["fairness"]["faces"]["gender"]["maxskew@10"]["uniform"]
    values = [models[name]["fairness"]["faces"]["gender"]["maxskew@10"]["uniform"]["value"] for name in ("base", "fair")]
    assert row["value"] == pytest.approx(values[1] - values[0])
    assert row["low"] <= row["value"] <= row["high"]
    accuracy = differences["fair"]["accuracy"]["zero_shot_imagenet"]
    assert accuracy["value"] == 0.5
    assert 0.3 < accuracy["low"] < 0.5 < accuracy["high"] < 0.7


def test_a_model_against_itself_has_no_difference():
    found = {"a": measured(1.0, [True, False]), "b": measured(1.0, [True, False])}
    difference = comparison(found, "a", "none", 50, 0)["differences"]["b"]
    assert difference["fairness"]["faces"]["gender"]["ndkl@10"]["pool"] == {"value": 0, "low": 0, "high": 0}
    assert difference["accuracy"]["zero_shot_imagenet"] == {"value": 0, "low": 0, "high": 0}


def test_skew_is_per_concept_and_group(result):
    cells = result["skew"]["faces"]["gender"]["10"]
    assert (cells["concepts"], cells["groups"]) == (["boss", "nurse"], NAMES)
    biased = np.array(cells["models"]["base"])
    assert biased.shape == (2, 2)
    assert biased[0, 0] == pytest.approx(np.log(2), abs=0.1)
    assert biased[0, 1] < biased[1, 1]


def test_able_is_there_where_its_accuracy_is(result):
    point = result["models"]["base"]
    skew = point["fairness"]["faces"]["gender"]["maxskew@10"]["uniform"]["value"]
    assert point["able"]["faces"]["gender"]["able@10"] == pytest.approx(2 / (1 / 0.5 + 1 / np.exp(-skew)))
    assert able_scores(point, "zero_shot_other") == {}


def test_csv_and_text_hold_every_measure_of_every_model(result):
    rows = list(csv.DictReader(io.StringIO(as_csv(result))))
    assert len(rows) == 2 * (3 * 2 + 1 + 1)
    assert {row["model"] for row in rows} == {"base", "fair"}
    assert all(row["difference"] == "" for row in rows if row["model"] == "base")
    assert as_text(result).count("difference") == 1 + 6 + 1


def test_the_page_has_bars_and_maps_and_escapes_names(result):
    result["models"]["<b>"] = result["models"]["fair"]
    result["differences"]["<b>"] = result["differences"]["fair"]
    page = render_comparison(result)
    assert "boss, men: skew" in page
    assert "difference to base" in page
    assert "<b>" not in page
    assert "faces/1.jpg" in render_sheets({"faces": {"boss": {"base": [("faces/1.jpg", b"x")]}}})


def test_names_of_models_that_measure_alike_do_not_cover_each_other(result):
    result["models"]["fairer"] = result["models"]["fair"]
    result["differences"]["fairer"] = result["differences"]["fair"]
    heights = re.findall(r'<text x="[^"]*" y="([^"]*)" class="label-series"', render_comparison(result))
    charts = np.array(heights, float).reshape(-1, 3)
    assert len(charts)
    assert np.diff(np.sort(charts, axis=1), axis=1).min() >= 15.9


def test_models_of_different_preprocessing_share_one_decoding(clip, settings, tmp_path, paint, monkeypatch):
    from dataclasses import replace

    from torchvision import transforms

    from cfray.evaluate.images import decode

    paint(tmp_path / "images" / "0.png", "red")
    paint(tmp_path / "images" / "1.png", "blue")
    gallery = Gallery("colours", tuple(list_images(str(tmp_path / "images")).values()))
    other = replace(clip, preprocess=transforms.Compose([transforms.Resize((4, 4)), transforms.ToTensor()]))
    decoded = []
    monkeypatch.setattr("cfray.evaluate.one_pass.decode", lambda *args: decoded.append(1) or decode(*args))
    embed_in_one_pass([Weighted(clip), Weighted(other)], [gallery], settings)
    assert len(decoded) == 2
    assert clip.model.images_seen == 4


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"a": {"model": "x"}}, "at least 2"),
        ({"a": {"model": "x"}, "b": {"model": "x", "alpha": 0.5}}, "needs both tuned and alpha"),
    ],
)
def test_a_comparison_that_makes_no_sense_is_refused(models, message):
    with pytest.raises(UserError, match=message):
        build_config(CompareConfig, {"output": "o", "models": models, "benchmarks": [{"kind": "world", "k": 5}]})
