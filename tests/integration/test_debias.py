"""Debiasing through the job, and what comes out through the evaluation."""

import runpy
import sys

import pytest
import torch
import yaml

from cfray.clip.debiased import DebiasedTowers
from cfray.clip.embed import embed_texts
from cfray.clip.model import load_clip, save_clip
from cfray.config import build_config
from cfray.debias.config import DebiasConfig
from cfray.debias.job import debias_on_cluster
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.compare import compare
from cfray.evaluate.config import CompareConfig, EvaluateConfig
from cfray.evaluate.labelled import Labelled, LabelledConfig
from cfray.evaluate.suite import evaluate
from cfray.runs import run_job
from tests.integration.conftest import REPOSITORY
from tests.portraits import write_faces

METHODS = {"gated": {"kind": "joint", "gated": {"steps": 30, "images": 40}}, "closed form": {"kind": "closed_form"}}
MEASURING = {"bootstrap": 10, "floor_permutations": 10}


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return write_faces(tmp_path_factory.mktemp("faces"), 40, 7)


@pytest.fixture(scope="module")
def benchmark(faces) -> dict:
    """The faces ranked for professions."""
    prompts = faces / "prompts.yaml"
    prompts.write_text("name: professions\ntemplates: ['a photo of {}']\nconcepts: [doctor, nurse, chef, teacher, farmer]\n")
    return {
        "kind": "labelled", "name": "faces", "images": str(faces), "labels": str(faces / "labels.csv"),
        "attributes": ["gender"], "ranking": {"k": 10, "prompts": [str(prompts)]}, "class_column": "skin_tone",
    }  # fmt: skip


def recipe(faces, output, method=METHODS["gated"], **changes) -> dict:
    pictures = {"table": str(faces / "labels.csv"), "labels": ["gender", "skin_tone"]} | changes.pop("pictures", {})
    return {
        "output": str(output), "model": "world:clip", "method": method, "pictures": pictures,
        "attributes": ["gender"], "texts": "debias-world", "cache": str(faces / "cache"),
    } | changes  # fmt: skip


@pytest.fixture(scope="module")
def fits(cluster, faces, tmp_path_factory) -> dict[str, tuple[dict, dict]]:
    """Per method the configuration of a finished run and its record."""
    folder = tmp_path_factory.mktemp("debias")
    recipes = {name: recipe(faces, folder / name, method=method) for name, method in METHODS.items()}
    return {name: (data, debias_on_cluster(build_config(DebiasConfig, data))) for name, data in recipes.items()}


@pytest.mark.parametrize("method", METHODS)
def test_a_debiased_model_is_a_clip_that_can_be_measured(fits, faces, benchmark, method):
    place, texts = fits[method][1]["result"]["model"], ["a photo of a nurse"]
    clip, debiased = load_clip("world:clip"), load_clip(place)
    before, after = embed_texts(clip, texts), embed_texts(debiased, texts)
    assert after.shape == before.shape
    assert not torch.allclose(before, after, atol=1e-3)
    assert torch.equal(embed_texts(load_clip(place, strength=0), texts), before)
    settings = Settings(cache=str(faces / "embeddings"), **MEASURING)
    measuring = Labelled(build_config(LabelledConfig, benchmark), settings)
    assert ndkl(measuring.measure(debiased).fairness)["value"] < ndkl(measuring.measure(clip).fairness)["value"]


def test_the_evaluation_sweeps_its_strength(fits, faces, benchmark, tmp_path):
    data = {"output": str(tmp_path / "run"), "base": "world:clip", "tuned": fits["gated"][1]["result"]["model"]}
    data |= {"alphas": [0, 1], "cache": str(faces / "embeddings"), "benchmarks": [benchmark]} | MEASURING
    result = evaluate(build_config(EvaluateConfig, data))["result"]
    before, after = (ndkl(point["fairness"]) for point in result["alphas"])
    assert before["floor"] == after["floor"]
    assert after["value"] < before["value"]
    checkpoint = load_clip(result["checkpoint"])
    assert isinstance(checkpoint.model, DebiasedTowers)
    assert float(checkpoint.model.strength) == result["recommended_alpha"]


def ndkl(fairness: dict) -> dict[str, float]:
    return fairness["faces_professions"]["gender"]["ndkl@10"]["uniform"]


@pytest.mark.parametrize("method", METHODS)
def test_a_finished_run_is_not_repeated(fits, method):
    data, record = fits[method]
    assert debias_on_cluster(build_config(DebiasConfig, data)) == record


def refusal(capsys, script) -> str:
    """The one line on stderr of a job that ends with exit code 2."""
    with pytest.raises(SystemExit) as ended:
        script()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def configure(monkeypatch, tmp_path, data: dict) -> None:
    """The command line of a job with this configuration."""
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(data))
    monkeypatch.setattr(sys, "argv", ["job", "--config", str(tmp_path / "job.yaml")])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pictures": {"where": {"gender": "feminine"}}}, "error: attribute 'gender' has one value, 'feminine', in all "),
        ({"model": "nothing"}, "error: CLIP model 'nothing' not found"),
    ],
)
def test_what_cannot_be_fitted_ends_before_a_cluster_starts(faces, tmp_path, monkeypatch, capsys, changes, message):
    configure(monkeypatch, tmp_path, recipe(faces, tmp_path / "run", **changes))
    line = refusal(capsys, lambda: runpy.run_path(str(REPOSITORY / "jobs/debias.py"), run_name="__main__"))
    assert line.startswith(message)
    assert not (tmp_path / "run").exists()


def test_what_a_task_refuses_is_one_line_as_well(cluster, tmp_path, monkeypatch, capsys):
    (tmp_path / "faces").mkdir()
    faces = write_faces(tmp_path / "faces", 40, 7)
    (faces / "3.png").write_bytes(b"no picture")
    configure(monkeypatch, tmp_path, recipe(faces, tmp_path / "run"))
    line = refusal(capsys, lambda: run_job(DebiasConfig, "", debias_on_cluster))
    assert line.startswith(f"error: picture '{faces}/3.png' cannot be read")


def test_more_cpus_than_the_cluster_has_are_refused(cluster, faces, tmp_path, monkeypatch, capsys):
    configure(monkeypatch, tmp_path, recipe(faces, tmp_path / "run", num_cpus=40))
    line = refusal(capsys, lambda: run_job(DebiasConfig, "", debias_on_cluster))
    assert "they need 40 CPUs, the cluster has 4" in line


def test_a_debiaser_of_other_weights_is_refused(fits, benchmark, tmp_path, monkeypatch, capsys):
    clip = load_clip("world:clip")
    state = {key: value * 1.01 if value.ndim > 1 else value for key, value in clip.model.state_dict().items()}
    save_clip(clip, "world:clip", state, str(tmp_path / "other"))
    wrong = {"model": str(tmp_path / "other"), "debiaser": fits["gated"][1]["result"]["model"]}
    models = {"base": {"model": "world:clip"}, "wrong": wrong}
    data = {"output": str(tmp_path / "run"), "models": models, "benchmarks": [benchmark]} | MEASURING
    configure(monkeypatch, tmp_path, data)
    assert "debiaser was fitted on a model with hash" in refusal(capsys, lambda: run_job(CompareConfig, "", compare))
    assert not (tmp_path / "run").exists()
