"""The audit of a data set and its export, through the job."""

import json
import tarfile
from pathlib import Path

import pytest
import yaml

from cfray.audit.config import AuditConfig
from cfray.audit.job import audit
from cfray.audit.reading import readers_for
from cfray.concepts.appearance import load_appearances
from cfray.config import build_config
from cfray.dataset.audit import BASE
from cfray.dataset.schema import KEPT
from cfray.dataset.store import read_sets, read_table
from cfray.errors import UserError
from cfray.generate.people import require_sampling
from tests.integration.conftest import small_recipe

READERS = {"gender": "world:gender-reader", "skin_tone": "world:skin-tone-reader"}


def small_audit(data: str, output: Path, **changes) -> AuditConfig:
    settings = {"data": data, "output": str(output), "model": "world:clip", "readers": READERS, "num_cpus": 0.5}
    return build_config(AuditConfig, settings | changes)


@pytest.fixture(scope="module")
def audited(dataset, tmp_path_factory) -> tuple[dict, Path]:
    output = tmp_path_factory.mktemp("audit")
    shards = {"output": f"{output}/shards", "sets_per_shard": 3}
    return audit(small_audit(dataset, output, webdataset=shards, sheet_sets=1)), output


def test_every_image_is_read_once(dataset, audited):
    result, output = audited
    sets = read_sets(dataset, status=None).to_pylist()
    readings = read_table(f"{output}/readings.parquet").to_pylist()
    expected = [(row["set_id"], i) for row in sets for i in (BASE, *range(len(row["variants"])))]
    assert [(row["set_id"], row["variant"]) for row in readings] == expected
    assert result["images"]["base"] == len(sets) == 8
    assert {row["read"]["gender"] for row in readings} <= {"feminine", "masculine"}
    assert all(row["requested"]["gender"] is None for row in readings if row["variant"] == BASE)
    assert json.loads((output / "audit.json").read_text()) == result
    assert set(result["concepts"]) == {"doctor", "chef"}


def test_the_next_run_asks_for_what_base_images_lack(audited):
    result, output = audited
    part = yaml.safe_load((output / "next-run.yaml").read_text())
    config = small_recipe(Path("x"), appearances={"file": "appearance-world", "variants": 4} | part["appearances"])
    require_sampling(load_appearances("appearance-world"), config.appearances)
    read = result["axes"]["gender"]["counts"]["base_read"]
    assert part["appearances"]["measured"]["gender"] == {value: n + 1 for value, n in read.items()}
    coverage = result["coverage"]
    for found in coverage["concepts"].values():
        assert coverage.get("reason") or sum(found["base"].values()) == 4


def test_the_page_shows_sheets_and_runs_no_script(audited):
    page = (audited[1] / "audit.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2 * 5
    assert "<script" not in page
    assert "default-src 'none'" in page


def test_shards_hold_the_kept_images_and_their_captions(dataset, audited):
    result, output = audited
    rows = {row["set_id"]: row for row in read_sets(dataset).to_pylist()}
    seen = {}
    for shard in sorted((output / "shards").glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                seen[member.name] = tar.extractfile(member).read()
    images = {name.removesuffix(".png") for name in seen if name.endswith(".png")}
    expected = {f"{set_id}-base" for set_id in rows}
    expected |= {f"{set_id}-{i}" for set_id, row in rows.items() for i, v in enumerate(row["variants"]) if v["status"] == KEPT}
    assert images == expected
    assert result["webdataset"] == {
        "output": f"{output}/shards", "shards": -(-len(rows) // 3), "sets": len(rows), "images": len(images),
    }  # fmt: skip
    key = min(key for key in images if key.endswith("-0"))
    about = json.loads(seen[f"{key}.json"])
    row = rows[about["set_id"]]
    assert seen[f"{key}.txt"].decode() == row["caption"]
    assert seen[f"{key}.png"] == row["variants"][0]["image"]["bytes"]
    assert about["attributes"] == row["variants"][0]["attributes"]


def test_the_webdataset_package_reads_the_shards(audited):
    import webdataset

    shards = [str(shard) for shard in sorted((audited[1] / "shards").glob("*.tar"))]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("pil").to_tuple("png", "txt", "json"))
    assert len(samples) == audited[0]["webdataset"]["images"]
    assert samples[0][0].size == (64, 64)
    assert samples[0][2]["caption"] == samples[0][1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "/no/data"}, "no data set at '/no/data'"),
        ({"readers": {"age": "world:gender-reader"}}, "readers has 'age', which the sets do not vary"),
        ({"model": "/no/clip"}, "model folder '/no/clip' not found"),
    ],
)
def test_what_cannot_be_audited_is_refused(dataset, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        audit(small_audit(**{"data": dataset, "output": tmp_path / "audit"} | changes))
    assert not (tmp_path / "audit").exists()


def test_readers_are_the_recipes_own_then_colour_then_clip():
    world = small_recipe(Path("x"), checks={"gender_reader": "world:gender-reader"})
    config = small_audit("x", Path("y"), readers={})
    assert readers_for(config, world, load_appearances("appearance-world")) == {
        "gender": "world:gender-reader", "skin_tone": None,
    }  # fmt: skip
    people = {"file": "appearance", "variants": 4, "vary": ["gender", "skin_tone", "body_type"]}
    production = small_recipe(Path("x"), appearances=people, checks={"skin_pixels_tolerance": 2})
    assert readers_for(config, production, load_appearances("appearance")) == {
        "gender": "CLIP", "skin_tone": "skin colour", "body_type": None,
    }  # fmt: skip
