import numpy as np
import pyarrow as pa
import pytest
import yaml

from cfray.concepts.appearance import load_appearances
from cfray.config import build_config
from cfray.dataset.audit import BASE, readings_schema
from cfray.generate.config import AppearancesConfig
from cfray.generate.people import require_sampling, sample_people
from cfray.groups.coverage import appearance_coverage, measured_counts, next_run

VALUES = {"gender": ["feminine", "masculine"], "age": ["young", "old"]}


def row(rng, concept, gender, variant):
    feature = np.zeros(6)
    feature[["nurse", "pilot"].index(concept)] = 2.0
    feature[2 + VALUES["gender"].index(gender)] = 1.0
    asked = None if variant == BASE else gender
    return {
        "set_id": "x", "concept": concept, "variant": variant, "status": "kept", "feature": feature + 0.05 * rng.normal(size=6),
        "requested": {"gender": asked, "age": None}, "read": {"gender": gender, "age": None},
    }  # fmt: skip


@pytest.fixture
def readings():
    """All base images of nurses are women; variants are balanced."""
    rng, rows = np.random.default_rng(0), []
    for i in range(20):
        for concept in ("nurse", "pilot"):
            rows.append(row(rng, concept, VALUES["gender"][i % 2] if concept == "pilot" else "feminine", BASE))
            rows += [row(rng, concept, gender, j) for j, gender in enumerate(VALUES["gender"])]
    return pa.Table.from_pylist(rows, schema=readings_schema(list(VALUES)))


def test_what_a_concept_lacks_is_named_by_what_its_cluster_shows(readings):
    found = appearance_coverage(readings, VALUES)
    assert len(found["clusters"]) == 2
    named = {cluster["asked"]["gender"]["value"]: cluster["name"] for cluster in found["clusters"]}
    assert all(cluster["asked"]["gender"]["share"] == 1 for cluster in found["clusters"])
    assert found["concepts"]["nurse"]["lacks"] == [named["masculine"]]
    assert found["concepts"]["pilot"]["lacks"] == []
    assert found["concepts"]["nurse"]["base"] == {named["feminine"]: 20, named["masculine"]: 0}


def test_the_next_run_takes_the_measured_counts(readings):
    found = appearance_coverage(readings, VALUES)
    assert found["measured"] == {"gender": {"feminine": 31, "masculine": 11}}
    assert found["concepts"]["nurse"]["measured"] == {"gender": {"feminine": 21, "masculine": 1}}
    part = yaml.safe_load(yaml.safe_dump(next_run(found["measured"])))
    config = build_config(AppearancesConfig, part["appearances"] | {"file": "appearance-world", "variants": 42})
    world = load_appearances("appearance-world")
    require_sampling(world, config)
    people = sample_people(world, config, 0, np.random.default_rng(0))
    assert sum(person["gender"] == "masculine" for person in people) == pytest.approx(31, abs=1)


def test_an_axis_that_nothing_read_is_not_measured(readings):
    assert "age" not in measured_counts(readings.to_pylist(), VALUES)


def test_images_that_form_no_clusters_say_so(readings):
    few = readings.slice(0, 2)
    same = few.set_column(6, "feature", pa.array([[1.0, 0.0], [1.0, 0.0]], pa.list_(pa.float32())))
    found = appearance_coverage(same, VALUES)
    assert found["clusters"] == []
    assert "nothing left to cluster" in found["reason"]
