import numpy as np
import pyarrow as pa
import pytest

from cfray.dataset.audit import BASE, audit_readings, readings_schema
from cfray.report.audit import audit_text

VALUES = {"gender": ["feminine", "masculine"], "age": ["young", "old"]}
READERS = {"gender": "a classifier", "age": None}


def reading(concept, variant, read, asked=None, status="kept", feature=(1.0, 0.0)):
    return {
        "set_id": f"{concept}-0", "concept": concept, "variant": variant, "status": status, "feature": list(feature),
        "requested": {"gender": asked, "age": "old" if asked else None}, "read": {"gender": read, "age": None},
    }  # fmt: skip


@pytest.fixture
def result():
    rows = []
    for concept, biased in (("nurse", "feminine"), ("pilot", "masculine")):
        for _ in range(10):
            rows.append(reading(concept, BASE, biased))
            rows.append(reading(concept, 0, "feminine", "feminine", feature=(0.0, 1.0)))
            rows.append(reading(concept, 1, "masculine", "masculine"))
            rows.append(reading(concept, 2, biased, "masculine", status="rejected:gender"))
    return audit_readings(pa.Table.from_pylist(rows, schema=readings_schema(list(VALUES))), VALUES, READERS)


def test_the_generators_bias_shows_and_the_variants_have_none(result):
    told = result["axes"]["gender"]["information"]
    assert told["base"]["value"] == pytest.approx(np.log(2))
    assert told["base"]["value"] > 10 * told["base"]["floor"]
    assert told["kept_read"]["value"] == pytest.approx(0, abs=1e-9)
    assert told["kept_requested"]["value"] == pytest.approx(0, abs=1e-9)


def test_counts_and_agreement(result):
    gender = result["axes"]["gender"]
    assert result["images"] == {"base": 20, "variants": 60, "kept_variants": 40}
    assert gender["counts"]["kept_read"] == {"feminine": 20, "masculine": 20}
    assert gender["agreement"] == {"painted": {"equal": pytest.approx(50 / 60)}, "kept": {"equal": 1.0}}
    assert gender["read_as"]["feminine"] == {"feminine": 20, "masculine": 0}
    assert result["concepts"]["nurse"]["gender"]["base_read"] == {"feminine": 10, "masculine": 0}


def test_an_axis_that_nothing_reads_has_only_requests(result):
    age = result["axes"]["age"]
    assert age["reader"] is None
    assert age["agreement"] == {"painted": None, "kept": None}
    assert age["information"]["base"] is None
    assert age["counts"]["kept_requested"] == {"young": 0, "old": 40}


def test_diversity_is_of_features(result):
    assert result["diversity"]["base"] == pytest.approx(1)
    assert result["diversity"]["kept_variants"] == pytest.approx(2)


def test_steps_of_a_scale_agree_within_one():
    values = {"skin_tone": [str(step) for step in range(1, 11)]}
    rows = [
        {
            "set_id": "a", "concept": "c", "variant": i, "status": "kept", "requested": {"skin_tone": "5"},
            "read": {"skin_tone": read}, "feature": [1.0],
        }
        for i, read in enumerate(("5", "6", "8", "4"))
    ]  # fmt: skip
    result = audit_readings(pa.Table.from_pylist(rows, schema=readings_schema(["skin_tone"])), values, {"skin_tone": "x"})
    assert result["axes"]["skin_tone"]["agreement"]["kept"] == {"equal": 0.25, "within_one": 0.75}


def test_the_text_says_what_matters(result):
    sets = {"planned": 20, "kept": 20, "rejected": {}, "failed": {}, "variants": {"kept": 40}}
    cluster = {"name": "cluster 2", "asked": {"gender": {"value": "masculine", "share": 0.9}}}
    coverage = {"clusters": [cluster], "concepts": {"nurse": {"lacks": ["cluster 2"]}, "pilot": {"lacks": []}}}
    text = audit_text(result | {"sets": sets, "clip": "a clip", "coverage": coverage})
    assert "nurse lacks cluster 2 (gender masculine 90" in text
    assert "gender, base images, as read: the generator's own bias: 0.693 nats" in text
    assert "age, read by nothing" in text
    assert "Vendi score over a clip: base 1.0, kept variants 2.0" in text
