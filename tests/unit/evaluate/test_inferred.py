from dataclasses import replace

import pytest
import torch

from cfray.errors import UserError
from cfray.evaluate import inferred
from cfray.evaluate.images import Gallery, list_images
from cfray.evaluate.labelled import Labelled, LabelledConfig
from cfray.evaluate.people import PeopleBenchmark, RankingConfig
from cfray.evaluate.reading import ReadReport

ATTRIBUTES = "templates: ['a {} face', '{}']\nattributes:\n  hue: {warm: [red], cold: [blue]}\n"


@pytest.fixture
def setup(tmp_path, paint, clip, monkeypatch):
    """Six red and six blue faces, prompts that tell them apart, and the model of colours under a name."""
    for i in range(12):
        paint(tmp_path / "images" / "deep" / f"{i:02}.png", "red" if i < 6 else "blue")
    (tmp_path / "prompts.yaml").write_text("name: colours\ntemplates: ['{}']\nconcepts: [red, blue]\n")
    (tmp_path / "attributes.yaml").write_text(ATTRIBUTES)
    monkeypatch.setattr(inferred, "load_clip", lambda name: clip)
    ranking = {
        "k": [4], "prompts": [str(tmp_path / "prompts.yaml")],
        "groups": {"infer": "clip", "prompts": str(tmp_path / "attributes.yaml")},
    }  # fmt: skip
    return tmp_path, ranking


def test_inferred_groups_take_the_place_of_labels_and_their_agreement_is_printed(setup, clip, settings, capsys):
    folder, ranking = setup
    gallery = Gallery("faces", tuple(list_images(str(folder / "images")).values()))
    # Labels that are wrong about one face and silent about another.
    labels = {"hue": ["cold", None, *["warm"] * 4, *["cold"] * 6]}
    settings = replace(settings, base="the base")
    benchmark = PeopleBenchmark(gallery, labels, RankingConfig(**ranking), settings, ReadReport("faces"))
    summary = benchmark.measure(clip).fairness["faces_inferred_colours"]["hue"]
    assert {name: group["members"] for name, group in summary["groups"].items()} == {"warm": 6, "cold": 6}
    assert summary["inferred"]["model"] == "the base"
    assert summary["inferred"]["agreement"]["accuracy"] == pytest.approx(10 / 11)
    assert "hue inferred by the base (argmax): agreement with labels: accuracy 0.909" in capsys.readouterr().out


def test_other_weights_are_held_to_the_same_groups(setup, clip, settings):
    folder, ranking = setup
    gallery = Gallery("faces", tuple(list_images(str(folder / "images")).values()))
    settings = replace(settings, base="the base")
    benchmark = PeopleBenchmark(gallery, {"hue": [None] * 12}, RankingConfig(**ranking), settings, ReadReport("faces"))
    first = benchmark.measure(clip).fairness["faces_inferred_colours"]["hue"]
    with torch.no_grad():
        clip.model.gain.copy_(torch.tensor([0.0, 1.0, 1.0]))  # this one would call every face cold
    second = benchmark.measure(clip).fairness["faces_inferred_colours"]["hue"]
    assert first["groups"]["warm"]["members"] == second["groups"]["warm"]["members"] == 6
    assert second["inferred"]["agreement"] is None


def test_a_folder_without_labels_or_classes(setup, clip, settings):
    folder, ranking = setup
    ranking["groups"]["model"] = "a model"
    config = LabelledConfig(name="shop", images=str(folder / "images"), attributes=["hue"], ranking=ranking)
    found = Labelled(config, settings).measure(clip)
    assert list(found.fairness) == ["shop_inferred_colours"]
    assert found.accuracy == {}


def test_a_table_needs_no_column_of_an_inferred_attribute(setup, clip, settings):
    folder, ranking = setup
    rows = "\n".join(f"deep/{i:02}.png,{'x' if i % 2 else 'y'}" for i in range(12))
    (folder / "labels.csv").write_text(f"file,class\n{rows}\n")
    config = LabelledConfig(
        name="shop", images=str(folder / "images"), labels=str(folder / "labels.csv"), class_column="class",
        attributes=["hue"], ranking=ranking | {"groups": ranking["groups"] | {"model": "a model"}},
    )  # fmt: skip
    found = Labelled(config, settings).measure(clip)
    assert found.fairness["shop_inferred_colours"]["hue"]["inferred"]["agreement"] is None
    assert list(found.accuracy) == ["zero_shot_shop"]


@pytest.mark.parametrize(
    ("attribute", "k", "base", "message"),
    [
        ("hue", 4, None, "needs a model; give groups.model"),
        ("shape", 4, "base", "attribute 'shape' is not in attribute prompts .*; it has hue"),
        ("hue", 13, "base", "k=13 is larger than the 12 images of faces_inferred in all; lower k"),
    ],
)
def test_what_cannot_be_inferred_is_refused_before_embedding(setup, settings, attribute, k, base, message):
    folder, ranking = setup
    gallery = Gallery("faces", tuple(list_images(str(folder / "images")).values()))
    config = RankingConfig(**ranking | {"k": [k]})
    with pytest.raises(UserError, match=message):
        PeopleBenchmark(gallery, {attribute: [None] * 12}, config, replace(settings, base=base), ReadReport("faces"))


def test_labels_are_needed_where_nothing_is_inferred(setup, settings):
    folder, ranking = setup
    config = LabelledConfig(name="shop", images=str(folder / "images"), attributes=["hue"], ranking={"k": [4]})
    with pytest.raises(UserError, match="shop has no labels file.*groups: {infer: clip}"):
        Labelled(config, settings)


def test_labelled_people_have_contact_sheets(setup, clip, settings):
    folder, ranking = setup
    ranking["groups"]["model"] = "a model"
    config = LabelledConfig(name="shop", images=str(folder / "images"), attributes=["hue"], ranking=ranking)
    (people,) = Labelled(config, settings).people
    assert people.has_concept("red") and not people.has_concept("mauve")
    tops = people.top_pictures(clip, ["red"], 2)
    assert [len(pictures) for pictures in tops["colours"].values()] == [2]
