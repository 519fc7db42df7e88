import pytest

from cfray.concepts.concepts import Concept
from cfray.concepts.prompts import load_prompts


def write(tmp_path, text):
    (tmp_path / "p.yaml").write_text(text)
    return str(tmp_path / "p.yaml")


def test_a_users_own_prompts(tmp_path):
    text = "name: mine\ntemplates: ['a {}', '{}']\nconcepts: [boss, {name: aide, split: held_out}]\n"
    prompts = load_prompts(write(tmp_path, text))
    assert (prompts.name, prompts.templates) == ("mine", ("a {}", "{}"))
    assert prompts.concepts == (Concept("boss"), Concept("aide", "held_out"))
    assert prompts.fill(prompts.concepts[1]) == ["a aide", "aide"]


@pytest.mark.parametrize(
    ("name", "templates", "concepts"),
    [
        ("prompts-adjectives", 11, 29),
        ("prompts-occupations", 7, 40),
        ("prompts-occupations-winogender", 7, 60),
        ("prompts-activities", 4, 28),
    ],
)
def test_shipped_prompts(name, templates, concepts):
    prompts = load_prompts(name)
    assert (len(set(prompts.templates)), len(prompts.concepts)) == (templates, concepts)
    assert len({prompt for concept in prompts.concepts for prompt in prompts.fill(concept)}) == templates * concepts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("templates: ['{}']\nconcepts: [a]", "has no name"),
        ("", "has no name"),
        ("templates: [a {}]", "is no YAML: while parsing"),
        ("name: x\nconcepts: [a]", "has no templates"),
        ("name: x\ntemplates: [a]\nconcepts: [a]", "must have exactly one {}"),
        ("name: x\ntemplates: ['{}']", "has no concept"),
    ],
)
def test_wrong_files(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load_prompts(write(tmp_path, text))
