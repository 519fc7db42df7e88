import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from cfray.dataset.card import card_text, licence_of
from cfray.dataset.schema import IMAGE, encode_png, huggingface_metadata, set_schema

RECORD = {
    "packages": {"cfray": "0.1"},
    "started": "2026-01-01",
    "config_hash": "abc",
    "config": {"seed": 0, "base": {"size": 64}},
}
SETS = {"planned": 9, "kept": 5, "rejected": {"no_person": 3}, "failed": {"base": 1}, "variants": {"kept": 30}}


def test_the_card_says_what_is_in_it_and_where_datasets_finds_the_rows():
    text = card_text(RECORD, SETS, {"base": ("owner/model", "c0ffee")}, {"owner/model": "openrail++"})
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head)["configs"] == [{"config_name": "default", "data_files": "parts/*.parquet"}]
    assert "| base | owner/model | c0ffee | openrail++ |" in body
    assert "| kept | 5 |" in body
    assert "| rejected: no_person | 3 |" in body
    assert "| failed: base | 1 |" in body
    assert "## Intended use" in body
    assert yaml.safe_load(body.split("```yaml\n")[1].split("```")[0]) == RECORD["config"]


def test_licences_are_what_a_models_card_states(tmp_path):
    assert licence_of("world:clip", None).startswith("Apache-2.0")
    assert licence_of(str(tmp_path), None) == "not stated"
    (tmp_path / "README.md").write_text("---\nlicense: mit\ntags: [x]\n---\n# A model\n")
    assert licence_of(str(tmp_path), None) == "mit"
    (tmp_path / "README.md").write_text("# A model\n")
    assert licence_of(str(tmp_path), None) == "not stated"
    assert licence_of("ViT-L-14/openai/x", None) == "unknown"


@pytest.fixture
def parts(tmp_path):
    """A data set of one set as it lies on disk, card and plan beside the parts."""
    picture = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    image = encode_png(picture)
    variant = {"image": image, "attributes": {"gender": "feminine"}, "prompt": "p", "seed": 1, "checks": {"context_drift": 0}}
    row = {"set_id": "a", "caption": "c", "base": image, "mask": encode_png(picture[..., 0] > 9), "variants": [variant]}
    table = pa.Table.from_pylist([row], schema=set_schema(["gender"]))
    (tmp_path / "parts").mkdir()
    pq.write_table(table, tmp_path / "plan.parquet")
    pq.write_table(table.replace_schema_metadata(huggingface_metadata(table.schema)), tmp_path / "parts" / "a.parquet")
    (tmp_path / "README.md").write_text(card_text(RECORD, SETS, {}, {}))
    return tmp_path, picture


def test_datasets_decodes_the_images_of_the_folder(parts, monkeypatch):
    folder, picture = parts
    monkeypatch.setenv("HF_DATASETS_CACHE", str(folder / "cache"))
    import datasets

    loaded = datasets.load_dataset(str(folder), split="train", cache_dir=str(folder / "cache"))
    assert len(loaded) == 1
    assert np.array_equal(np.asarray(loaded[0]["base"]), picture)
    assert np.array_equal(np.asarray(loaded[0]["variants"][0]["image"]), picture)
    assert loaded[0]["variants"][0]["checks"]["context_drift"] == 0


def test_pandas_reads_the_bytes(parts):
    import pandas as pd
    from PIL import Image

    folder, picture = parts
    frame = pd.read_parquet(folder / "parts")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(frame["base"][0]["bytes"]))), picture)
    assert pa.array([frame["base"][0]], IMAGE)[0]["path"].as_py() is None
