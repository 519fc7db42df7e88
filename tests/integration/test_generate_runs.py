"""How a generating run goes: stages one by one, sets that fail and are tried again, models that cannot be read."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from safetensors.torch import save

from cfray.config import build_config, config_hash
from cfray.dataset import store
from cfray.dataset.schema import set_schema
from cfray.errors import UserError
from cfray.generate.config import GenerateConfig
from cfray.generate.pipeline import generate
from cfray.generate.pools import Pool, run_at_once, run_one_by_one
from tests.integration.conftest import REPOSITORY, small_recipe


def plan_of(count: int) -> pa.Table:
    rows = [{"set_id": f"{i:016x}", "variants": [], "status": "", "attempts": 1} for i in range(count)]
    return pa.Table.from_pylist(rows, schema=set_schema(["gender"]))


def picky_pools(folder: Path) -> list[Pool]:
    """Two stages without a model; the first fails for odd sets while the file ``broken`` is in the folder."""

    # Classes of a function travel to the workers by value, and these load no torch there.
    class First:
        def __call__(self, table):
            rows = table.to_pylist()
            for row in rows:
                if int(row["set_id"], 16) % 2 and (folder / "broken").exists():
                    row["status"], row["error"] = "failed:first", "OSError: the disk is gone"
                row["caption"] = "first"
            return pa.Table.from_pylist(rows, schema=table.schema)

    class Second:
        def __call__(self, table):
            rows = table.to_pylist()
            for row in rows:
                row["prompt"], row["status"] = row["caption"] + ", second", row["status"] or "kept"
            return pa.Table.from_pylist(rows, schema=table.schema)

    return [Pool("first", First, num_cpus=0.2, batch_size=2), Pool("second", Second, actors=2, num_cpus=0.2, batch_size=3)]


@pytest.mark.parametrize("run", [run_at_once, run_one_by_one])
def test_failed_sets_are_marked_and_made_again_on_request(cluster, tmp_path, run):
    plan, data = plan_of(10), str(tmp_path / "sets")
    (tmp_path / "broken").touch()
    store.write_table(f"{data}/{store.PLAN}", plan)
    run(picky_pools(tmp_path), plan, data, 4)
    counts = store.count_sets(data)
    assert (counts.kept, counts.failed) == (5, {"first": 5})
    assert store.first_error(data) == f"{1:016x} failed:first, OSError: the disk is gone"
    assert not list(store.storage.list_files(f"{data}/stages"))

    (tmp_path / "broken").unlink()
    assert store.withdraw_failed(data) == 5
    assert store.withdraw_failed(data) == 0
    missing = store.missing_rows(data)
    assert missing["attempts"].to_pylist() == [1] * 5
    run(picky_pools(tmp_path), missing, data, 4)
    assert store.count_sets(data).kept == 10
    assert sorted(store.finished_ids(data)) == plan["set_id"].to_pylist()


@pytest.mark.parametrize("run", [run_at_once, run_one_by_one])
def test_a_batch_of_one_stage_is_shared_by_the_actors_of_the_next(cluster, tmp_path, run):
    plan, data = plan_of(6), str(tmp_path / "sets")

    class Kept:
        def __call__(self, table):
            # The first actor that is up holds what it took until the other one is up as well.
            (tmp_path / f"{table.num_rows}-{os.getpid()}").touch()
            while table.num_rows == 2 and len(list(tmp_path.glob("2-*"))) < 2:
                time.sleep(0.1)
            rows = [row | {"prompt": str(os.getpid()), "status": "kept"} for row in table.to_pylist()]
            return pa.Table.from_pylist(rows, schema=table.schema)

    # Of four CPUs the writer has what is left.
    pools = [Pool("first", Kept, num_cpus=1.9, batch_size=6), Pool("second", Kept, actors=2, num_cpus=1, batch_size=2)]
    run(pools, plan, data, 6)
    assert len(set(store.read_sets(data)["prompt"].to_pylist())) == 2
    assert len(list(store.storage.list_files(f"{data}/{store.PARTS}", ".parquet"))) == 1


def test_an_s3_that_breaks_loses_and_doubles_nothing(cluster, object_store, monkeypatch):
    plan, data = plan_of(60), object_store.create_bucket("breaking") + "/sets"
    store.write_table(f"{data}/{store.PLAN}", plan)
    before = sum(object_store.faults.values())
    monkeypatch.setattr(object_store, "kinds", ("500", "503", "broken", "stall"))
    monkeypatch.setattr(object_store, "stall", 0.5)  # seconds
    # So many that some of this run's few requests fail, and so few that none fails as often as it is repeated.
    object_store.share = 1 / 3
    run_at_once(picky_pools(Path("nowhere")), plan, data, 4)
    object_store.share = 0.0
    assert sum(object_store.faults.values()) > before
    assert sorted(store.finished_ids(data)) == plan["set_id"].to_pylist()
    assert store.count_sets(data).kept == 60


def test_a_bucket_that_is_full_ends_the_job_and_the_next_run_goes_on(cluster, object_store, tmp_path):
    plan, data = plan_of(6), f"{object_store.create_bucket('full')}/sets"
    store.write_table(f"{data}/{store.PLAN}", plan)
    object_store.full = "quota"
    with pytest.raises(UserError, match=f"^no space left to write '{data}/parts/[^']+'; free some and run the job again"):
        run_at_once(picky_pools(tmp_path), plan, data, 3)
    object_store.full = None
    run_at_once(picky_pools(tmp_path), store.missing_rows(data), data, 3)
    assert sorted(store.finished_ids(data)) == plan["set_id"].to_pylist()


@pytest.mark.slow
def test_a_node_that_vanishes_loses_and_doubles_nothing():
    # In a process of its own: only a cluster of several nodes has one that can be killed.
    command = [sys.executable, "-m", "benchmarks.faults", "--rounds", "1", "--sets", "40"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    heads, cells = ([cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()[-3::2])
    figures = dict(zip(heads, cells, strict=True))
    assert figures["nodes killed"] == "1"
    assert figures["sets"] == "40"
    assert (figures["sets lost"], figures["sets doubled"]) == ("0", "0")


def test_a_run_one_by_one_goes_on_in_the_stage_it_was_in(cluster, tmp_path):
    plan, data = plan_of(6), str(tmp_path / "sets")
    first, second = picky_pools(tmp_path)
    # The first stage was done when the job was killed: its rows say so, and are not made again.
    done = plan.set_column(plan.schema.get_field_index("caption"), "caption", pa.array(["before"] * 6))
    store.write_part(f"{data}/stages/first", done)
    run_one_by_one([first, second], plan, data, 4)
    assert {row["prompt"] for row in store.read_sets(data).to_pylist()} == {"before, second"}


@pytest.mark.slow
def test_one_by_one_makes_the_same_bytes(cluster, dataset, tmp_path):
    config = small_recipe(tmp_path / "sets", stage_by_stage=True)
    assert config_hash(config) == config_hash(small_recipe(tmp_path / "sets"))
    generate(config)
    assert pictures(config.output) == pictures(dataset)


def pictures(data: str) -> dict[str, list[bytes]]:
    rows = store.read_sets(data, status=None).to_pylist()
    return {row["set_id"]: [row["base"]["bytes"], *(v["image"]["bytes"] for v in row["variants"])] for row in rows}


def test_a_recipe_whose_every_set_fails_is_no_finished_run(cluster, tmp_path):
    # The painter works in steps of eight pixels.
    base = {"model": "world:text-to-image", "steps": 1, "size": 60, "num_cpus": 0.5}
    changes = {"base": base, "concepts": {"file": "world-professions", "names": ["chef"]}, "sets_per_concept": 1}
    with pytest.raises(UserError, match=r"no set of .* was kept \(base 1 sets\); the first: \w{16} failed:base, ValueError"):
        generate(small_recipe(tmp_path / "sets", **changes))
    assert json.loads((tmp_path / "sets" / "record.json").read_text())["finished"] is None
    with pytest.raises(UserError, match="retry_failed=true"):
        generate(small_recipe(tmp_path / "sets", **changes, retry_failed=True))
    rows = store.read_sets(str(tmp_path / "sets"), status=None).to_pylist()
    assert [(row["status"], row["attempts"]) for row in rows] == [("failed:base", 2)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": {"model": "{empty}"}}, "has no config.json"),
        ({"base": {"model": "{pickled}"}}, "has no safetensors weights"),
        ({"masks": {"model": "{cut}"}}, r"cut/model.safetensors' are damaged \(.*\); copy the model again"),
        ({"base": {"model": "world:text-to-image", "vae": "../no"}}, "model folder '../no' not found"),
        ({"inpaint": {"model": "https://host/model"}}, "is no folder and no Hugging Face id"),
        ({"masks": {"model": "owner/model; rm"}}, "is no folder and no Hugging Face id"),
        ({"checks": {"safety_checker": "/no/checker"}}, "model folder '/no/checker' not found"),
    ],
)
def test_models_that_cannot_be_read_are_refused_before_anything_is_written(cluster, tmp_path, changes, message):
    folders = {name: tmp_path / name for name in ("empty", "pickled", "cut")}
    for folder in folders.values():
        folder.mkdir()
    (folders["pickled"] / "model_index.json").write_text("{}")
    (folders["pickled"] / "weights.bin").write_bytes(b"pickle")
    (folders["cut"] / "config.json").write_text("{}")
    (folders["cut"] / "model.safetensors").write_bytes(save({"weight": torch.ones(64)})[:-1])
    written = json.dumps(changes)
    for name, folder in folders.items():
        written = written.replace(f"{{{name}}}", str(folder))
    changes = json.loads(written)
    with pytest.raises(UserError, match=message):
        generate(small_recipe(tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_how_a_run_goes_is_in_no_record():
    config = small_recipe(Path("x"), stage_by_stage=True, retry_failed=True)
    assert {"stage_by_stage", "retry_failed"}.isdisjoint(config.model_dump())
    assert build_config(GenerateConfig, config.model_dump()) == small_recipe(Path("x"))
