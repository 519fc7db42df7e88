import pytest

from cfray.concepts.appearance import load_appearances, tone_group


def test_phrases():
    appearances = load_appearances("appearance-world")
    full = {"gender": "feminine", "age": "old", "skin_tone": "7", "hair_style": "long", "hair_colour": "grey"}
    assert appearances.phrase(full) == "an old woman with brown skin and long grey hair"
    assert appearances.phrase({"gender": "masculine", "skin_tone": "10"}) == "a man with deep black skin"
    assert appearances.phrase({"gender": "masculine"}) == "a man"
    assert appearances.phrase({"skin_tone": "5", "hair_style": "curly"}) == "a person with tan skin and curly hair"


def test_unknown_axis_and_value_are_named():
    appearances = load_appearances("appearance-world")
    with pytest.raises(ValueError, match="axis 'height' is not in appearance file 'appearance-world'"):
        appearances.phrase({"height": "tall"})
    with pytest.raises(ValueError, match="skin_tone='11'"):
        appearances.phrase({"skin_tone": "11"})


def test_every_monk_step_has_a_group():
    assert [tone_group(tone) for tone in range(1, 11)] == ["light"] * 4 + ["medium"] * 3 + ["dark"] * 3
    with pytest.raises(ValueError, match="tone=0"):
        tone_group(0)


def test_missing_file_names_the_shipped_ones():
    with pytest.raises(FileNotFoundError, match="appearance file 'nowhere' not found.*appearance-world"):
        load_appearances("nowhere")
