import json

import numpy as np
import pytest
import torch

from cfray.config import build_config
from cfray.dataset import store
from cfray.dataset.schema import decode_mask, decode_picture
from cfray.errors import UserError
from cfray.generate.masks import PersonMasker
from cfray.generate.painters import BasePainter, Inpainter
from cfray.generate.pipeline import generate
from cfray.generate.plan import make_plan
from tests.integration.conftest import small_recipe


def images(table) -> dict[str, list[bytes]]:
    return {row["set_id"]: [row["base"]["bytes"], *(v["image"]["bytes"] for v in row["variants"])] for row in table.to_pylist()}


def test_every_planned_set_is_there_once(dataset):
    plan = store.read_table(f"{dataset}/{store.PLAN}")
    assert sorted(store.finished_ids(dataset)) == sorted(plan["set_id"].to_pylist())
    counts = store.count_sets(dataset)
    assert counts.planned == 8
    assert counts.kept + sum(counts.rejected.values()) + sum(counts.failed.values()) == 8
    assert not counts.failed


def test_outside_the_mask_no_pixel_differs(dataset):
    compared = 0
    for row in store.read_sets(dataset).to_pylist():
        base, mask = decode_picture(row["base"]), decode_mask(row["mask"])
        for variant in row["variants"]:
            picture = decode_picture(variant["image"])
            assert np.array_equal(picture[~mask], base[~mask])
            assert not np.array_equal(picture[mask], base[mask])
            compared += 1
    assert compared >= 8


def test_rows_say_what_made_them(dataset):
    row = store.read_sets(dataset).to_pylist()[0]
    assert row["models"]["inpaint"]["id"] == "world:text-to-image"
    assert row["recipe"]
    assert 0 < row["checks"]["mask_area"] < 1


def test_batches_and_workers_change_no_byte(dataset):
    # The same rows one by one in this process, on one thread like an actor with half a CPU.
    config = small_recipe("unused")
    table = make_plan(config).slice(1, 2)
    for stage in (BasePainter(config.base), PersonMasker(config.masks), Inpainter(config.inpaint)):
        table = stage(table)
    assert torch.get_num_threads() == 1
    stored = images(store.read_sets(dataset))
    for set_id, pictures in images(table).items():
        assert pictures == stored[set_id]


def test_a_second_run_makes_nothing(dataset):
    parts = sorted(store.storage.list_files(f"{dataset}/parts"))
    record = generate(small_recipe(dataset))
    assert record["finished"]
    assert sorted(store.storage.list_files(f"{dataset}/parts")) == parts


def test_more_sets_keep_those_that_are_there(cluster, dataset, tmp_path):
    # A run that was stopped after its first part: the plan asks for eight sets, one part is there.
    first = next(iter(store.storage.list_files(f"{dataset}/parts")))
    content = store.storage.read_bytes(first)
    (tmp_path / "sets" / "parts").mkdir(parents=True)
    (tmp_path / "sets" / "parts" / first.rpartition("/")[2]).write_bytes(content)
    generate(small_recipe(tmp_path / "sets"))
    assert images(store.read_sets(str(tmp_path / "sets"))) == images(store.read_sets(dataset))
    assert store.storage.read_bytes(str(tmp_path / "sets" / "parts" / first.rpartition("/")[2])) == content


def test_another_configuration_in_the_same_place_is_refused(dataset):
    with pytest.raises(UserError, match="seed: 0 there, 1 here"):
        generate(small_recipe(dataset, seed=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": {"model": "./no/such/folder"}}, "model folder './no/such/folder' not found"),
        ({"masks": {"model": "world:segformer"}}, "'world:segformer' is not in the embedded world"),
        ({"checks": {"gender_reader": "/no/reader"}}, "model folder '/no/reader' not found"),
        ({"base": {"model": "world:text-to-image", "actors": 40}}, "the stage pools need 41.2 CPUs"),
        ({"base": {"model": "world:text-to-image", "num_gpus": 1}}, "need 1 GPUs"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_written(cluster, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        generate(small_recipe(tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_an_output_that_cannot_be_written(cluster, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        generate(small_recipe(tmp_path / "file" / "run"))


def test_the_record_has_configuration_counts_and_versions(dataset):
    record = json.loads(store.storage.read_bytes(f"{dataset}/record.json"))
    assert record["job"] == "generate"
    assert build_config(type(small_recipe("x")), record["config"]).sets_per_concept == 4
    assert record["result"]["sets"]["planned"] == 8
    assert record["packages"]["diffusers"]
