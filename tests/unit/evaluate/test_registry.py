import pytest
from pydantic import TypeAdapter, ValidationError

from cfray.evaluate.labelled import Labelled, LabelledConfig
from cfray.evaluate.registry import BENCHMARKS, BenchmarkConfig, build_benchmark

ADAPTER = TypeAdapter(BenchmarkConfig)


def test_kinds_choose_their_configuration_and_their_benchmark(tmp_path, paint, settings):
    paint(tmp_path / "cat" / "a.png")
    config = ADAPTER.validate_python({"kind": "labelled", "name": "pets", "images": str(tmp_path)})
    assert isinstance(config, LabelledConfig)
    assert isinstance(build_benchmark(config, settings), Labelled)


def test_every_kind_of_the_union_has_a_benchmark():
    kinds = {kind for schema in ADAPTER.json_schema()["$defs"].values() for kind in _kinds(schema)}
    assert kinds == set(BENCHMARKS)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "faces"}, "does not match any of the expected tags"),
        ({"kind": "utkface", "images": "x"}, "k\n  Field required"),
        ({"kind": "utkface", "images": "x", "k": []}, "at least 1 item"),
        ({"kind": "utkface", "images": "x", "k": [0]}, "greater than or equal to 1"),
        ({"kind": "utkface", "images": "x", "k": [1], "prompts": []}, "at least 1 item"),
        ({"kind": "utkface", "images": "x", "k": [1], "colour": 1}, "Extra inputs are not permitted"),
        ({"kind": "fairface", "images": "x", "labels": "y", "k": [1]}, "padding\n  Field required"),
    ],
)
def test_configurations_that_are_refused(data, message):
    with pytest.raises(ValidationError, match=message):
        ADAPTER.validate_python(data)


def _kinds(schema):
    kind = schema.get("properties", {}).get("kind", {})
    return kind.get("enum") or ([kind["const"]] if "const" in kind else [])
