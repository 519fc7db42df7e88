"""What a model, a data set or a caption of others must not be able to do."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from cfray.config import build_config
from cfray.dataset import store
from cfray.dataset.schema import encode_png, set_schema
from cfray.dataset.webdataset import export_shards
from cfray.errors import UserError
from cfray.generate.config import HttpWriterConfig
from cfray.generate.plan import make_plan
from cfray.generate.writers.http import HttpWriter
from cfray.report.audit import render_audit, sheet_of
from tests.integration.conftest import small_recipe

SOURCES = [path for folder in ("cfray", "jobs") for path in (Path(__file__).parents[3] / folder).rglob("*.py")]
EVIL = "<script>alert('x')</script>"


def test_no_model_brings_code():
    assert len(SOURCES) > 50
    assert not [path for path in SOURCES if "trust_remote_code" in path.read_text()]


def test_weights_are_loaded_from_safetensors_only():
    loads = [
        (path.name, match.group(1), path.read_text()[match.end() : match.end() + 300])
        for path in SOURCES
        for match in re.finditer(r"(\w+)\.from_pretrained\(", path.read_text())
    ]
    weights = [load for load in loads if not re.search(r"(Tokenizer\w*|Processor|Config)$", load[1])]
    assert len(weights) >= 6
    assert [load[:2] for load in weights if "use_safetensors=True" not in load[2]] == []


def a_set(set_id: str, caption: str) -> dict:
    image = encode_png(np.zeros((8, 8, 3), np.uint8))
    variant = {"image": image, "attributes": {"gender": EVIL}, "prompt": "p", "status": "kept"}
    return {
        "set_id": set_id, "concept": EVIL, "caption": caption, "base": image, "mask": image, "variants": [variant],
        "status": "kept", "recipe": "r",
    }  # fmt: skip


def test_an_id_that_is_a_path_leads_nowhere(tmp_path):
    data = str(tmp_path / "sets")
    table = pa.Table.from_pylist([a_set("../../evil", "c")], schema=set_schema(["gender"]))
    store.write_part(data, table)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [re.fullmatch(r"sets/parts/[0-9a-f]{16}\.parquet", str(path.relative_to(tmp_path))) is None for path in written] == [
        False
    ]
    with pytest.raises(UserError, match=r"set_id='../../evil', which is no id"):
        export_shards(data, str(tmp_path / "shards"), 10)
    assert not (tmp_path / "shards").exists()


def test_a_concept_that_is_a_path_is_only_a_word(tmp_path):
    name = "../../x"
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"name": "mine", "concepts": [name]}))
    (tmp_path / "captions.yaml").write_text(yaml.safe_dump({name: [f"a photo of a {name} at a desk"]}))
    changes = {"concepts": {"file": str(tmp_path / "mine.yaml")}, "captions": str(tmp_path / "captions.yaml")}
    plan = make_plan(small_recipe(tmp_path / "run", **changes))
    assert all(re.fullmatch(r"[0-9a-f]{16}", set_id) for set_id in plan["set_id"].to_pylist())


def test_captions_and_names_are_escaped_on_the_page():
    row = a_set("0" * 16, EVIL)
    counts = {which: {EVIL: 1} for which in ("base_read", "kept_requested", "kept_read")}
    axis = {
        "reader": EVIL, "counts": counts, "agreement": {"painted": None, "kept": {"equal": 1.0}}, "read_as": {EVIL: {EVIL: 1}},
        "information": {"base": None, "kept_requested": None, "kept_read": None},
    }  # fmt: skip
    result = {
        "data": EVIL, "clip": EVIL,
        "sets": {"planned": 1, "kept": 1, "rejected": {EVIL: 1}, "failed": {}, "variants": {EVIL: 1}},
        "images": {"base": 1, "variants": 1, "kept_variants": 1}, "axes": {"gender": axis},
        "concepts": {EVIL: {"gender": counts}},
        "coverage": {"clusters": [], "concepts": {}, "reason": EVIL},
        "diversity": {"base": 1.0, "kept_variants": 1.0, "concepts": {EVIL: {"base": 1.0, "kept_variants": None}}},
    }  # fmt: skip
    page = render_audit(result, {EVIL: [sheet_of(row)]})
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_password_in_an_endpoints_address_is_refused_and_not_shown():
    config = build_config(HttpWriterConfig, {"kind": "http", "url": "https://user:hunter2@host/v1", "model": "m"})
    with pytest.raises(UserError, match="key_env") as caught:
        HttpWriter(config)
    assert "hunter2" not in str(caught.value)
