"""Evaluation of images on disk: the embedding pass as a Ray Data job, inferred groups, comparisons."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cfray.clip.model import load_clip, save_clip
from cfray.clip.pair import load_blend
from cfray.config import build_config
from cfray.dataset.schema import IMAGE, encode_png
from cfray.errors import UserError
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.compare import compare
from cfray.evaluate.config import CompareConfig, EvaluateConfig
from cfray.evaluate.embeddings import Encoder
from cfray.evaluate.labelled import Labelled, LabelledConfig
from cfray.evaluate.suite import evaluate
from cfray.world import corpora

IMAGES = 1100  # two parts, the second one of 76
PROMPTS = "name: jobs\ntemplates: ['a photo of a {}', '{}']\nconcepts: [doctor, chef]\n"


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    """Forty portraits of the embedded world over and over in a Parquet file, the last cell of which is no image."""
    folder = tmp_path_factory.mktemp("portraits")
    rendered = corpora.portraits(40, 7)
    pictures = [encode_png(picture) for picture in rendered.pictures]
    rows = [i % 40 for i in range(IMAGES)]
    cells = [pictures[i] for i in rows]
    cells[-1] = {"bytes": b"broken", "path": None}
    columns = {name: [rendered.labels[name][i] for i in rows] for name in ("gender", "skin_tone")}
    pq.write_table(pa.table({"image": pa.array(cells, IMAGE), **columns}), folder / "labels.parquet")
    (folder / "prompts.yaml").write_text(PROMPTS)
    return folder


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> str:
    """A CLIP that differs from the world's: the same with a larger projection of texts."""
    clip = load_clip("world:clip")
    state = {key: value * 1.01 if value.ndim > 1 else value for key, value in clip.model.state_dict().items()}
    place = str(tmp_path_factory.mktemp("tuned"))
    save_clip(clip, "world:clip", state, place)
    return place


def labelled(folder, **ranking):
    return {
        "kind": "labelled", "name": "portraits", "labels": str(folder / "labels.parquet"), "attributes": ["gender"],
        "ranking": {"k": [20], "prompts": [str(folder / "prompts.yaml")]} | ranking,
    }  # fmt: skip


def recipe(kind, output, portraits, **changes):
    data = {
        "output": str(output), "benchmarks": [labelled(portraits)], "bootstrap": 10, "floor_permutations": 10, "workers": 2,
        "cpus_per_worker": 1,
    }  # fmt: skip
    return build_config(kind, data | changes)


@pytest.fixture(scope="module")
def run(cluster, portraits, tuned, tmp_path_factory):
    output = tmp_path_factory.mktemp("run") / "evaluate"
    config = recipe(EvaluateConfig, output, portraits, base="world:clip", tuned=tuned, alphas=[0, 0.5])
    return config, evaluate(config)


def test_two_workers_embed_what_one_process_does(run, portraits, tuned, tmp_path):
    config, _ = run
    benchmark = Labelled(LabelledConfig(**labelled(portraits)), config.settings)
    gallery = benchmark.galleries[0]
    assert [len(part) for part in gallery.parts()] == [1024, 76]
    for clip in (load_clip("world:clip"), load_blend("world:clip", tuned, 0.5)):
        clip.model.encode_image = None  # what is not in the cache cannot be embedded
        pooled = Encoder(clip, config.settings).images(gallery)
        del clip.model.encode_image
        alone = Encoder(clip, Settings(cache=str(tmp_path))).images(gallery)
        np.testing.assert_allclose(pooled.vectors, alone.vectors, atol=1e-6)
        assert list(pooled.unreadable) == [f"row {IMAGES - 1}"]


def test_the_record_and_what_was_read(run):
    config, record = run
    assert [point["alpha"] for point in record["result"]["alphas"]] == [0, 0.5]
    assert list(record["result"]["alphas"][0]["fairness"]) == ["portraits_jobs"]
    (read,) = json.loads((Path(config.output) / "read.json").read_text())
    assert read["facts"]["images"] == IMAGES
    assert [item.partition(" (")[0] for item in read["problems"]["unreadable images"]] == [f"row {IMAGES - 1}"]


def test_only_missing_parts_are_embedded_again(run, portraits, tuned, tmp_path, capsys):
    config, _ = run
    files = sorted(Path(config.settings.cache).rglob("portraits-*.parquet"), key=lambda file: file.stat().st_size)
    assert len(files) == 4
    files[0].unlink()
    changes = {"base": "world:clip", "tuned": tuned, "alphas": [0, 0.5], "cache": config.settings.cache, "workers": 1}
    evaluate(recipe(EvaluateConfig, tmp_path / "hole", portraits, **changes))
    printed = capsys.readouterr().out
    assert "[embed] 76 images with 2 models in one pass" in printed
    assert "76/76 images" in printed
    assert files[0].is_file()


def test_compare_with_inferred_groups(run, portraits, tuned, tmp_path):
    groups = {"infer": "clip", "prompts": "attributes-world"}
    config = recipe(
        CompareConfig, tmp_path / "compare", portraits, benchmarks=[labelled(portraits), labelled(portraits, groups=groups)],
        models={
            "base": {"model": "world:clip"},
            "half": {"model": "world:clip", "tuned": tuned, "alpha": 0.5},
            "full": {"model": "world:clip", "tuned": tuned, "alpha": 1},
        },
        sheets=["doctor"], sheet_images=2, workers=1, cache=run[0].settings.cache,
    )  # fmt: skip
    result = compare(config)["result"]
    inferred = [point["fairness"]["portraits_inferred_jobs"]["gender"] for point in result["models"].values()]
    assert inferred[0]["inferred"]["model"] == "world:clip"
    assert inferred[0]["inferred"]["agreement"]["accuracy"] > 0.9
    assert {json.dumps(summary["inferred"]) for summary in inferred} == {json.dumps(inferred[0]["inferred"])}
    difference = result["differences"]["full"]["fairness"]["portraits_inferred_jobs"]["gender"]["maxskew@20"]["uniform"]
    assert difference["low"] <= difference["value"] <= difference["high"]
    sheets = (tmp_path / "compare" / "sheets.html").read_text()
    assert "portraits, jobs" in sheets and "portraits inferred, jobs" in sheets
    assert sheets.count("data:image/jpeg") == 2 * 3 * 2
    for name in ("compare.json", "compare.csv", "compare.txt", "compare.html", "read.json"):
        assert (tmp_path / "compare" / name).stat().st_size


@pytest.mark.slow
def test_an_error_of_a_worker_is_one_line(cluster, portraits, tuned, tmp_path):
    cells = [encode_png(np.zeros((8, 8, 3), np.uint8))] * 20 + [{"bytes": b"broken", "path": None}] * 20
    pq.write_table(pa.table({"image": pa.array(cells, IMAGE), "gender": ["a", "b"] * 20}), tmp_path / "labels.parquet")
    (tmp_path / "prompts.yaml").write_text(PROMPTS)
    config = recipe(
        EvaluateConfig, tmp_path / "run", tmp_path, base="world:clip", tuned=tuned, alphas=[0], workers=1,
        benchmarks=[labelled(tmp_path, k=[30], prompts=[str(tmp_path / "prompts.yaml")])],
    )  # fmt: skip
    with pytest.raises(UserError, match="^jobs, gender: k=30 is larger than the gallery of 20; lower k$"):
        evaluate(config)
