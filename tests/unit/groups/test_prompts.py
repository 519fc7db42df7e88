import pytest
import yaml

from cfray.clip.embed import embed_images, embed_texts, preprocess_pictures
from cfray.clip.model import load_clip
from cfray.errors import UserError
from cfray.groups import infer_groups, load_attribute
from cfray.metrics import group_agreement
from cfray.world.corpora import portraits


@pytest.mark.parametrize("attribute", ["gender", "race", "skin_tone", "age"])
def test_shipped_prompts_name_every_value_in_as_many_texts(attribute):
    prompts = load_attribute("attributes-faces", attribute)
    assert len({len(texts) for texts in prompts.texts}) == 1
    assert len(set(prompts.flat)) == len(prompts.flat) == len(prompts.values) * len(prompts.texts[0])
    assert all("{" not in text for text in prompts.flat)


@pytest.mark.parametrize(("attribute", "least"), [("gender", 0.95), ("skin_tone", 0.8)])
def test_the_embedded_world_is_told_apart_by_its_prompts(attribute, least):
    corpus, clip = portraits(120, seed=5), load_clip("world:clip")
    images = embed_images(clip, preprocess_pictures(clip, corpus.pictures))
    prompts = load_attribute("attributes-world", attribute)
    texts = embed_texts(clip, prompts.flat).reshape(len(prompts.values), -1, images.shape[1])
    true = [prompts.values.index(value) for value in corpus.labels[attribute]]
    assert group_agreement(infer_groups(images, texts, prompts.values).groups, true).accuracy >= least


def write(tmp_path, **changes):
    data = {"name": "mine", "templates": ["a {}"], "attributes": {"hat": {"worn": ["hat"], "none": ["bare head"]}}} | changes
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    return str(tmp_path / "mine.yaml")


def test_a_file_of_ones_own(tmp_path):
    prompts = load_attribute(write(tmp_path, templates=["a {}", "the {}"]), "hat")
    assert prompts.values == ("worn", "none")
    assert prompts.texts == (("a hat", "the hat"), ("a bare head", "the bare head"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attributes": {"hat": {"worn": ["hat"]}}}, "attribute 'hat' has 1 value .worn. in .*; give two or more"),
        ({"attributes": {"hat": {"worn": ["hat", "cap"], "none": ["bare head"]}}}, "different numbers of wordings"),
        ({"attributes": {"shoe": {}}}, "attribute 'hat' is not in .*; it has shoe"),
        ({"templates": ["a hat"]}, "template 'a hat' in .* must have exactly one"),
        ({"templates": None}, "needs the keys templates and attributes"),
    ],
)
def test_what_gives_no_groups_is_refused(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        load_attribute(write(tmp_path, **changes), "hat")


def test_an_unknown_file_is_refused():
    with pytest.raises(UserError, match="attribute prompts file 'nothing' not found"):
        load_attribute("nothing", "hat")
