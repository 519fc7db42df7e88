import pytest

from cfray.concepts.concepts import load_concepts
from cfray.concepts.grammar import neutral_captions
from cfray.concepts.neutrality import appearance_terms


@pytest.mark.parametrize(
    ("caption", "terms"),
    [
        ("a photo of a woman in a ward", ["woman"]),
        ("a salesman at a desk", ["salesman"]),
        ("a waitress with a tray", ["waitress"]),
        ("a nurse and her patient", ["her"]),
        ("an elderly person on a bench", ["elderly"]),
        ("a young person with a laptop", ["young"]),
        ("a black person on a bench", ["black"]),
        ("a dark-skinned chef", ["dark-skinned"]),
        ("a bearded carpenter", ["bearded"]),
        ("an Asian chef", ["asian"]),
        ("A WOMAN", ["woman"]),
    ],
)
def test_appearance_is_found(caption, terms):
    assert appearance_terms(caption) == terms


@pytest.mark.parametrize(
    "caption",
    [
        "a photo of a doctor in a white coat",
        "a judge in a black robe",
        "a student of Brown University",
        "a chef with an old pan",
        "a human resources manager in a meeting",
        "a manager at work",
        "a photo of a mannequin",
    ],
)
def test_context_passes(caption):
    assert appearance_terms(caption) == []


def test_adjectives_count_before_the_concept():
    assert appearance_terms("a photo of a black doctor", ("doctor",)) == ["black"]
    assert appearance_terms("a photo of an old doctor", ("doctor",)) == ["old"]
    assert appearance_terms("a doctor in a black coat", ("doctor",)) == []


def test_the_grammar_of_the_world_is_neutral():
    for concept in load_concepts("world-professions"):
        for caption in neutral_captions(concept):
            assert appearance_terms(caption, (concept.name,)) == [], caption
