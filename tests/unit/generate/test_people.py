from collections import Counter
from itertools import product

import numpy as np
import pytest

from cfray.concepts.appearance import load_appearances
from cfray.config import build_config
from cfray.errors import UserError
from cfray.generate.config import AppearancesConfig
from cfray.generate.people import grid, latin_square, require_sampling, sample_people

FACES = load_appearances("appearance")


def config(**changes) -> AppearancesConfig:
    return build_config(AppearancesConfig, {"file": "appearance", "vary": ["gender", "age"], "variants": 6} | changes)


def test_a_grid_has_every_combination_once():
    people = grid(FACES, ["gender", "age"])
    pairs = {(person["gender"], person["age"]) for person in people}
    assert pairs == set(product(("feminine", "masculine", "androgynous"), ("young", "middle-aged", "old")))
    assert len(people) == 9


def test_a_latin_square_is_balanced_in_each_set_and_in_pairs_over_the_sets():
    pairs = Counter()
    for index in range(10):
        people = latin_square(FACES, ["gender", "skin_tone"], 6, index)
        assert set(Counter(person["gender"] for person in people).values()) == {2}
        pairs.update((person["gender"], person["skin_tone"]) for person in people)
    assert len(pairs) == 30
    assert set(pairs.values()) == {2}


def test_what_was_seen_rarely_is_asked_for_often():
    measured = {"gender": {"feminine": 10, "masculine": 80, "androgynous": 10}}
    settings = config(sampling="weighted", measured=measured, variants=17)
    people = sample_people(FACES, settings, 0, np.random.default_rng(0))
    # Weights 1/10 : 1/80 : 1/10 = 8 : 1 : 8.
    assert Counter(person["gender"] for person in people) == {"feminine": 8, "masculine": 1, "androgynous": 8}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampling": "grid"}, "the grid of gender, age needs 9"),
        ({"sampling": "weighted"}, "go together"),
        ({"measured": {"gender": {}}}, "go together"),
        (
            {"sampling": "weighted", "measured": {"gender": {"feminine": 3}}},
            "must give a count above 0 for each",
        ),
        ({"sampling": "weighted", "measured": {"hair_style": {"long": 3}}}, "not varied"),
        ({"vary": ["height"]}, "'height', not in"),
    ],
)
def test_draws_that_cannot_be_made(changes, message):
    with pytest.raises(UserError, match=message):
        require_sampling(FACES, config(**changes))
