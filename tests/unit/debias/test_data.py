import numpy as np
import pytest
import torch
from PIL import Image

from cfray.concepts.neutrality import appearance_terms
from cfray.concepts.prompts import load_prompts
from cfray.debias.cache import EmbeddingCache
from cfray.debias.data import embed_training_data
from cfray.debias.faces import LabelledPictures
from cfray.debias.texts import load_texts
from cfray.errors import UserError
from cfray.world.things import THINGS


@pytest.fixture
def people(tmp_path):
    rng, paths = np.random.default_rng(0), []
    for i in range(60):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(paths[-1])
    labels = {
        "gender": np.array(["Male", "Female"] * 30),
        "race": np.array(["White", "Black", "Indian"] * 20),
        "age": np.array(["20-29"] * 58 + ["70+"] * 2),
    }
    return LabelledPictures(list(paths), labels)


@pytest.fixture
def cache(tiny_clip, tmp_path):
    return EmbeddingCache(tiny_clip, str(tmp_path / "cache"))


@pytest.fixture
def texts():
    return load_texts("debias-faces")


def test_captions_are_the_published_ones(texts):
    labels = {"race": "East Asian", "gender": "Female", "age": "20-29"}
    assert texts.caption(labels) == "This is the photo of a East Asian woman aged 20 to 29."
    assert texts.caption({"gender": "Male"}) == "This is the photo of a man."
    assert texts.caption({"age": "70+"}) == "This is the photo of a person aged more than 70."
    world = load_texts("debias-world")
    assert world.caption({"gender": "feminine", "skin_tone": "dark"}) == "a photo of a woman with very dark skin"
    assert world.pairs("gender", ("feminine",))[0][0] == "a photo of a woman, a doctor"


def test_other_texts_are_the_things_of_the_world():
    world = load_texts("debias-world")
    assert world.others == tuple(THINGS)
    assert world.about_others()[:2] == ["a photo of an apple", "a picture of an apple"]
    assert load_texts("debias-faces").about_others() == []


@pytest.mark.parametrize("name", ["debias-faces", "debias-world"])
def test_neutral_texts_name_no_appearance_and_others_do(name):
    texts = load_texts(name)
    assert [text for text in texts.neutral() if appearance_terms(text, texts.nouns)] == []
    assert all(
        appearance_terms(text) for row in texts.explicit("gender", tuple(texts.attributes["gender"].values)) for text in row
    )


def test_prompts_that_fairness_is_measured_with_are_held_out(texts):
    for name in ("prompts-occupations", "prompts-occupations-winogender", "prompts-adjectives"):
        prompts = load_prompts(name)
        measured = {prompt.lower() for concept in prompts.concepts for prompt in prompts.fill(concept)}
        assert measured.isdisjoint(text.lower() for text in texts.neutral())
        assert {concept.name for concept in prompts.concepts}.isdisjoint(texts.nouns)


def test_everything_is_embedded_where_it_belongs(cache, people, texts):
    data = embed_training_data(cache, people, texts, ["gender", "race"])
    assert data.weights == cache.weights
    assert data.values == {"gender": ("Female", "Male"), "race": ("Black", "Indian", "White")}
    assert data.captions.shape[0] == 2 * 3 * 2
    for i in (0, 1, 59):
        named = {name: str(values[i]) for name, values in people.labels.items()}
        expected = cache.texts([texts.caption(named)])[0]
        torch.testing.assert_close(data.captions[data.caption_of[i]], expected)
        assert data.values["race"][data.labels["race"][i]] == named["race"]
    assert data.explicit["race"].shape[:2] == (3, len(texts.templates))
    torch.testing.assert_close(data.pairs["gender"][1, 3], cache.texts([texts.pairs("gender", ("Male",))[0][3]])[0])


def test_twins_differ_in_debiased_attributes_only(cache, people, texts):
    data = embed_training_data(cache, people, texts, ["gender", "race"])
    grid = torch.arange(12).reshape(2, 3, 2)
    for caption in range(12):
        age = caption % 2
        assert sorted(data.twins[caption].tolist()) == sorted(set(grid[:, :, age].flatten().tolist()) - {caption})
    gender_only = embed_training_data(cache, people, texts, ["gender"])
    assert gender_only.twins[grid[0, 2, 1]].tolist() == [grid[1, 2, 1]]
    assert list(gender_only.labels) == ["gender"]


def test_refusals(cache, people, texts):
    def refuse(match, attributes, **labels):
        with pytest.raises(UserError, match=match):
            embed_training_data(cache, LabelledPictures(people.pictures, people.labels | labels), texts, attributes)

    refuse("age='70\\+' has 2 of 60 pictures, at least 10 are needed", ["age"])
    refuse("attribute 'gender' has one value, 'Male', in all 60", ["gender"], gender=np.array(["Male"] * 60))
    refuse("race='Martian' has no words .* no counterfactual", ["race"], race=np.array(["White", "Martian"] * 30))
    refuse("attribute 'hat' has no labels; the pictures have gender, race, age", ["hat"])
    refuse("attribute 'hat' has no words", ["gender"], hat=np.array(["a", "b"] * 30))
    refuse("attribute 'gender' has 2 labels for 60 pictures", ["gender"], gender=np.array(["Male", "Female"]))
    refuse(r"attributes=\[\]", [])
    with pytest.raises(UserError, match="texts file 'none' not found; .* debias-faces, debias-world"):
        load_texts("none")
