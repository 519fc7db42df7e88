from collections import Counter

import numpy as np
import pytest

from cfray.concepts.appearance import tone_group
from cfray.concepts.neutrality import appearance_terms
from cfray.world import corpora
from cfray.world.scenes import professions


def test_corpora_are_a_function_of_their_seed():
    first, second, other = corpora.biased_pairs(20, 3), corpora.biased_pairs(20, 3), corpora.biased_pairs(20, 4)
    assert np.array_equal(first.pictures, second.pictures)
    assert first.captions == second.captions
    assert first.captions != other.captions


def test_portraits_are_balanced():
    corpus = corpora.portraits(60, 0)
    cells = Counter(zip(corpus.labels["gender"], corpus.labels["skin_tone"], strict=True))
    assert set(cells.values()) == {10}
    assert [tone_group(tone) for tone in corpus.labels["tone"]] == corpus.labels["skin_tone"]


def test_people_in_scenes_are_balanced_within_each_profession():
    corpus = corpora.people_in_scenes(24 * 6, 0)
    cells = Counter(zip(corpus.labels["profession"], corpus.labels["gender"], corpus.labels["skin_tone"], strict=True))
    assert len(cells) == 24 * 6
    assert set(cells.values()) == {1}


def test_ordinary_pairs_name_neither_a_profession_nor_a_person():
    corpus = corpora.ordinary_pairs(30, 0)
    assert len(corpus) == len(corpus.captions) == 30
    scenes, others = corpus.captions[:20], corpus.captions[20:]
    assert {len(row) for row in scenes} == {corpora.CAPTIONS_PER_SCENE} and {len(row) for row in others} == {1}
    for caption in (caption for row in corpus.captions for caption in row):
        assert not appearance_terms(caption)
    assert all("a person" in caption for row in scenes for caption in row)


def test_people_follow_the_table_of_skew():
    doctor = professions()["doctor"]
    rng = np.random.default_rng(0)
    people = [corpora.biased_person(doctor, rng) for _ in range(2000)]
    assert np.mean([person.gender == "feminine" for person in people]) == pytest.approx(doctor.feminine, abs=0.03)
    light = np.mean([tone_group(person.tone) == "light" for person in people])
    assert light == pytest.approx(doctor.tones[0], abs=0.04)
    assert all(sum(profession.tones) == pytest.approx(1) for profession in professions().values())


def test_context_captions_are_neutral_and_appearance_captions_are_not():
    corpus = corpora.captioned_scenes(12, 0)
    assert all(len(row) == corpora.CAPTIONS_PER_SCENE for row in corpus.captions)
    assert not [caption for row in corpus.captions for caption in row if appearance_terms(caption)]
    assert all(appearance_terms(caption) for row in corpus.appearance_captions for caption in row)
