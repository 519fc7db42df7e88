import pytest

from cfray.concepts.concepts import Concept, load_concepts
from cfray.concepts.grammar import neutral_captions, with_appearance


def write(tmp_path, text):
    path = tmp_path / "concepts.yaml"
    path.write_text(text)
    return str(path)


def test_the_world_has_24_professions_and_holds_a_quarter_out():
    concepts = load_concepts("world-professions")
    assert len(concepts) == 24
    assert sum(concept.split == "held_out" for concept in concepts) == 6
    for facet in ("place", "attire", "tool"):
        assert len({concept.facets[facet] for concept in concepts}) == 24


def test_a_plain_list_of_names(tmp_path):
    assert load_concepts(write(tmp_path, "concepts: [doctor, {name: judge, split: held_out}]")) == (
        Concept("doctor"), Concept("judge", "held_out"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("concepts: []", "has no concept"),
        ("", "has no concept"),
        ("concepts: [doctor, judge, doctor]", "names 'doctor' more than once"),
        ("concepts: [{name: judge, split: test}]", "split='test'"),
    ],
)
def test_bad_files(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load_concepts(write(tmp_path, text))


def test_captions_differ_and_name_the_concept():
    concept = next(c for c in load_concepts("world-professions") if c.name == "astronaut")
    captions = neutral_captions(concept)
    assert len(captions) == len(set(captions)) >= 20
    assert all("an astronaut" in caption for caption in captions)


def test_the_grammar_needs_its_facets():
    with pytest.raises(ValueError, match="'doctor' has no facet attire, tool"):
        neutral_captions(Concept("doctor", facets={"place": "a ward"}))


def test_a_person_stands_before_the_concept():
    assert (
        with_appearance("a photo of a doctor in a ward", Concept("doctor"), "a woman")
        == "a photo of a woman, a doctor in a ward"
    )
    with pytest.raises(ValueError, match="must name its concept"):
        with_appearance("a photo of a ward", Concept("doctor"), "a woman")
