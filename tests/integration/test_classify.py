"""The target classifier through the job, with two workers."""

import json
from pathlib import Path

import pytest

from cfray.errors import UserError
from cfray.groups.job import classify
from tests.portraits import METHODS, here, recipe


@pytest.fixture(scope="module")
def trained(cluster, places, tmp_path_factory) -> tuple[dict, Path]:
    output = tmp_path_factory.mktemp("classify") / "run"
    return classify(recipe(places, output, workers=2))["result"], output


def test_the_job_reports_every_method_between_true_groups(trained):
    result, output = trained
    assert result["measured_by"] == "true groups"
    assert list(result["methods"]) == [method["name"] for method in METHODS]
    assert result["methods"]["ERM"]["metrics"]["accuracy"]["value"] > 0.7
    assert result["groups"]["agreement"]["accuracy"] > 0.9
    assert sum(cell["samples"] for cell in result["methods"]["ERM"]["cells"]) == 48
    assert json.loads((output / "result.json").read_text()) == result
    page = (output / "report.html").read_text()
    assert "<script" not in page
    assert all(method["name"] in page for method in METHODS)


def test_two_workers_fit_what_one_fits(trained, places, tmp_path):
    alone = here(recipe(places, tmp_path / "run"))
    curves = trained[0]["methods"]
    for run in alone.values():
        both, one = ([row["selection_loss"] for row in curve] for curve in (curves[run["method"]]["curves"]["0"], run["curve"]))
        assert both == pytest.approx(one, rel=0.05)


def test_a_finished_run_is_not_repeated(trained, places):
    result, output = trained
    assert classify(recipe(places, output, workers=2))["result"] == result


ORACLE = {"name": "true", "mode": "resample", "groups": "true"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": [ORACLE]}, "method 'true' trains with true groups, and oracle is false"),
        ({"train": {"group_column": "gender"}}, "train.group_column='gender' are true groups, and oracle is false"),
        ({"methods": [{"name": "a", "mode": "erm", "augment": ["standard"]}]}, "augments weak cells, which only mode=resample"),
        ({"methods": [{"name": "a", "mode": "resample", "augment": ["counterfactuals"]}]}, "it needs counterfactuals.data"),
        ({"methods": METHODS[:1] * 2}, "methods has the name 'ERM' twice"),
        ({"positive": None}, "parity=equal_opportunity, which is about one class; give positive"),
        ({"positive": "ancient"}, "positive='ancient' is no class; those are not old, old"),
        ({"train": {"class_column": None}}, "needs train.class_column"),
        ({"train": {"where": {"gender": "none"}}}, "no row of .* has these values"),
        ({"test": {"class_map": {"old": "aged"}}}, "test has class 'aged', which no training sample has"),
        ({"train": {"class_map": {"old": "one"}}}, "the training samples have one class, 'one'"),
        ({"groups": {"attributes": ["hat"]}}, "attribute 'hat' is not in attribute prompts 'attributes-world'"),
        ({"groups": {"clip": "nothing"}}, "CLIP model 'nothing' not found"),
        ({"backbone": {"kind": "timm", "name": "nothing"}}, "backbone.name='nothing'"),
        ({"workers": 40}, "workers=40 with 1 CPUs each do not fit the cluster"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_written(cluster, places, tmp_path, changes, message):
    base = recipe(places, tmp_path / "run").model_dump()
    merge = {key for key, value in changes.items() if isinstance(value, dict) and "kind" not in value}
    nested = {key: base[key] | value if key in merge else value for key, value in changes.items()}
    with pytest.raises(UserError, match=message):
        classify(recipe(places, tmp_path / "run", **nested))
    assert not (tmp_path / "run").exists()


def test_prompts_and_attributes_go_together(places, tmp_path):
    with pytest.raises(UserError, match="give both, or neither for clusters without prompts"):
        recipe(places, tmp_path / "run", groups={"clip": "world:clip", "attributes": ["gender"]})
