import json
import socket

import pytest

from cfray.errors import UserError
from cfray.evaluate.pata import PATA, PATAConfig, neutral_caption, parse_list

SCENES = [
    {"short": "red_range", "long": "photo of {age}, {race} {gender} in a red range"},
    {"short": "sea", "long": "photo of a young {race} {{gender}} sailor on the blue sea"},
]
REPUTE = {"pos": "good", "neg": "bad"}


@pytest.fixture
def folder(tmp_path, paint):
    for scene in SCENES:
        for side, word in REPUTE.items():
            scene[side] = {key: [f"a {word} {key} person", f"a {word} one"] for key in ("races", "gender", "age")}
    (tmp_path / "captions.json").write_text(json.dumps(SCENES))
    lines = [
        f"{scene}_{race}_{gender}_{age}|https://host/{scene}/{i}.jpg"
        for scene in ("red_range", "sea")
        for i, (race, gender, age) in enumerate(
            [("black", "male", "young"), ("black", "female", "old"), ("indian", "male", "old"), ("indian", "female", "young")]
        )
    ]
    (tmp_path / "list.lst").write_text("\n".join(lines) + "\n")
    for i in range(8):
        paint(tmp_path / "images" / "00000" / f"{i:09}.jpg", "red" if i < 4 else "blue")
    return tmp_path


def config(folder, **changes):
    places = {"images_list": "list.lst", "captions": "captions.json", "images": "images"}
    fields = {key: str(folder / name) for key, name in places.items()}
    return PATAConfig(**fields | {"k": [2], "prompts": ["prompts-activities"]} | changes)


def test_rankings_and_worst_group_recall(folder, clip, settings, capsys):
    found = PATA(config(folder), settings).measure(clip)
    assert set(found.fairness) == {"pata_activities", "pata_positive", "pata_negative"}
    assert set(found.fairness["pata_positive"]) == {"gender", "race", "age"}
    # Every scene is recognised by its colour.
    assert found.accuracy["worst_group_recall_pata_gender"] == found.accuracy["worst_group_recall_pata_race_overall"] == 1
    assert "[pata] 2 scenes, 2 captions, 8 lines, 8 images" in capsys.readouterr().out


def test_a_scene_shown_in_the_wrong_colour_lowers_the_recall_of_its_group(folder, clip, settings, paint):
    paint(folder / "images" / "00000" / "000000000.jpg", "blue")
    found = PATA(config(folder), settings).measure(clip).accuracy
    # In the first scene one of two images of men is lost, in the second none.
    assert found["worst_group_recall_pata_gender"] == found["worst_group_recall_pata_gender_overall"] == pytest.approx(0.75)


def test_dead_links_and_strange_files_are_listed(folder, settings, paint):
    (folder / "images" / "00000" / "000000002.jpg").unlink()
    paint(folder / "images" / "face.jpg")
    paint(folder / "images" / "3.png")
    paint(folder / "images" / "40.png")
    with (folder / "list.lst").open("a") as file:
        file.write("sea_martian_male_old|https://host/x.jpg\n")
    assert PATA(config(folder), settings).report.problems == {
        "malformed lines": ["8 sea_martian_male_old|https://host/x.jpg"],
        "images not named by the number of a line": ["face.jpg"],
        "images with the number of a line of another one": ["3.png"],
        "images without a line": ["40.png"],
        "dead links": ["2 https://host/red_range/2.jpg"],
    }


def test_scenes_have_underscores_in_their_names():
    content = "gun_range_indian_male_young|u\nrange_indian_male_young|v\ngun_range_indian_male|w"
    lines, malformed = parse_list(content, {"gun_range"})
    assert lines == {0: {"scene": "gun_range", "url": "u", "race": "indian", "gender": "male", "age": "young"}}
    assert malformed == ["1 range_indian_male_young|v", "2 gun_range_indian_male|w"]


@pytest.mark.parametrize(
    ("template", "caption"),
    [
        ("photo of {age}, {race} {gender} working in an office", "photo of a person working in an office"),
        ("photo of a young, {race} {{gender}} doctor", "photo of a young doctor"),
        ("photo of {{race}} {gender} maintaining a garden", "photo of a person maintaining a garden"),
        ("photo of a young adult {race} {gender} in a forest", "photo of a young adult person in a forest"),
        ("photo of a {race} {{gender}} engineer at a construction site", "photo of a engineer at a construction site"),
    ],
)
def test_neutral_captions(template, caption):
    assert neutral_caption(template) == caption


@pytest.mark.parametrize("content", ["{", "[{}]", '[{"short": "a", "long": "b", "pos": {}, "neg": {}}]', "3"])
def test_captions_that_are_not_pata(folder, settings, content):
    (folder / "captions.json").write_text(content)
    with pytest.raises(UserError, match="is not PATA's"):
        PATA(config(folder), settings)


def test_no_image_of_the_list(folder, settings):
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="has 0 numbered images for the 8 lines"):
        PATA(config(folder, images=str(folder / "empty")), settings)


@pytest.mark.real_data
def test_the_published_list_and_captions(real_data):
    folder = real_data / "wordlists" / "pata"
    scenes = json.loads((folder / "pata_fairness.captions.json").read_text())
    lines, malformed = parse_list((folder / "pata_fairness.files.lst").read_text(), {scene["short"] for scene in scenes})
    assert (len(lines), malformed) == (4934, [])
    captions = [neutral_caption(scene["long"]) for scene in scenes]
    assert not any(sign in caption for caption in captions for sign in "{},")
    assert len(set(captions)) == 24


def test_no_address_of_the_list_is_ever_fetched(folder, clip, settings, monkeypatch):
    lines = (folder / "list.lst").read_text().replace("https://host", "http://169.254.169.254")
    (folder / "list.lst").write_text(lines)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was made"))
    assert PATA(config(folder), settings).measure(clip).accuracy
