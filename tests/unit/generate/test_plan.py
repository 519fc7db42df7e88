from collections import Counter

import numpy as np
import pytest
import yaml

from cfray.concepts.appearance import load_appearances
from cfray.config import build_config
from cfray.errors import UserError
from cfray.generate.config import GenerateConfig
from cfray.generate.people import balanced_attributes
from cfray.generate.plan import make_plan, recipe_hash


def config(**changes) -> GenerateConfig:
    data = {
        "output": "unused",
        "concepts": {"file": "world-professions", "names": ["doctor", "chef"]},
        "appearances": {"file": "appearance-world", "variants": 6},
        "sets_per_concept": 5,
        "base": {"model": "world:text-to-image"},
        "masks": {"model": "world:parser"},
        "inpaint": {"model": "world:text-to-image"},
    }
    return build_config(GenerateConfig, data | changes)


def test_the_same_configuration_gives_the_same_plan():
    assert make_plan(config()).equals(make_plan(config()))


def test_ids_are_unique_and_survive_more_sets():
    few, many = make_plan(config()), make_plan(config(sets_per_concept=9))
    ids = many["set_id"].to_pylist()
    assert len(set(ids)) == 18
    assert set(few["set_id"].to_pylist()) <= set(ids)


def test_ids_follow_what_changes_a_picture_and_nothing_else():
    reference = recipe_hash(config())
    pools = {"model": "world:text-to-image", "actors": 3, "num_cpus": 2, "batch_size": 9}
    assert recipe_hash(config(base=pools)) == reference
    assert recipe_hash(config(base={"model": "world:text-to-image", "steps": 5})) != reference
    assert recipe_hash(config(masks={"model": "world:parser", "dilate_px": 1})) != reference
    ids = set(make_plan(config())["set_id"].to_pylist())
    assert not ids & set(make_plan(config(seed=1))["set_id"].to_pylist())


def test_no_seed_is_used_twice():
    rows = make_plan(config()).to_pylist()
    seeds = [row["seed"] for row in rows] + [variant["seed"] for row in rows for variant in row["variants"]]
    assert len(set(seeds)) == len(seeds)


def test_captions_are_used_once_before_one_is_used_twice():
    captions = Counter(
        row["caption"] for row in make_plan(config(sets_per_concept=24)).to_pylist() if row["concept"] == "doctor"
    )
    assert max(captions.values()) == 1


def test_variants_say_who_is_asked_for():
    variant = make_plan(config()).to_pylist()[0]["variants"][0]
    words = load_appearances("appearance-world").phrase(variant["attributes"])
    assert f"{words}, a doctor" in variant["prompt"]


@pytest.mark.parametrize("count", [2, 3, 6, 7, 10, 13])
def test_every_axis_is_balanced_within_a_set(count):
    appearances = load_appearances("appearance-world")
    people = balanced_attributes(appearances, ["gender", "skin_tone"], count, np.random.default_rng(count))
    for axis in ("gender", "skin_tone"):
        used = Counter(person[axis] for person in people)
        counts = [used.get(value, 0) for value in appearances.axes[axis].values]
        assert max(counts) - min(counts) <= 1


def test_axes_do_not_go_together():
    appearances = load_appearances("appearance-world")
    rng = np.random.default_rng(0)
    people = [p for _ in range(400) for p in balanced_attributes(appearances, ["gender", "skin_tone"], 6, rng)]
    shares = [np.mean([p["gender"] == "feminine" for p in people if p["skin_tone"] == str(tone)]) for tone in range(1, 11)]
    assert np.allclose(shares, 0.5, atol=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"concepts": {"file": "nowhere"}}, "concepts file 'nowhere' not found"),
        ({"concepts": {"file": "world-professions", "names": ["wizard"]}}, "'wizard', not in"),
        ({"concepts": {"file": "world-professions", "names": ["doctor", "doctor"]}}, "'doctor' more than once"),
        ({"concepts": {"file": "world-professions", "names": ["nurse"]}}, "leaves no concept"),
        ({"concepts": {"file": "world-professions", "names": []}}, "leaves no concept"),
        ({"appearances": {"file": "nowhere"}}, "appearance file 'nowhere' not found"),
        ({"appearances": {"file": "appearance-world", "vary": ["height"]}}, "'height', not in"),
        ({"captions": "nowhere.yaml"}, "captions file 'nowhere.yaml' not found"),
    ],
)
def test_bad_configurations_are_one_line(changes, message):
    with pytest.raises(UserError, match=message) as caught:
        make_plan(config(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        ({"doctor": ["a photo of a woman, a doctor"], "chef": ["a chef"]}, r"names appearance \(woman\)"),
        ({"doctor": ["somebody in a ward"], "chef": ["a chef"]}, "does not contain 'a doctor'"),
        ({"chef": ["a chef"]}, "no caption for concept 'doctor'"),
    ],
)
def test_bad_captions_are_one_line(tmp_path, captions, message):
    file = tmp_path / "captions.yaml"
    file.write_text(yaml.safe_dump(captions))
    with pytest.raises(UserError, match=message):
        make_plan(config(captions=str(file)))


def test_captions_from_a_file(tmp_path):
    file = tmp_path / "captions.yaml"
    file.write_text(yaml.safe_dump({"doctor": ["a doctor in a ward"], "chef": ["a chef at a stove"]}))
    assert set(make_plan(config(captions=str(file)))["caption"].to_pylist()) == {"a doctor in a ward", "a chef at a stove"}


def test_portraits_are_a_share_of_each_concepts_sets_and_leave_the_other_sets_as_they_are():
    scenes = make_plan(config(sets_per_concept=4)).to_pylist()
    mixed = make_plan(config(sets_per_concept=4, portrait_share=0.5)).to_pylist()
    portraits = [row for row in mixed if "before a plain background" in row["caption"]]
    assert len(portraits) == len(mixed) / 2
    assert {row["concept"] for row in portraits} == {row["concept"] for row in scenes}
    assert [row for row in mixed if row not in portraits] == [row for i, row in enumerate(scenes) if i % 2 == 0]
