import numpy as np
import pytest

from cfray.errors import UserError
from cfray.evaluate.fairface import FairFace, FairFaceConfig
from cfray.evaluate.images import Gallery, list_images
from cfray.evaluate.people import PeopleBenchmark, RankingConfig, age_group, query_sets
from cfray.evaluate.reading import ReadReport
from cfray.metrics import max_skew, ndkl

PROMPTS = "name: colours\ntemplates: ['a {} face', '{}']\nconcepts: [red, blue]\n"


@pytest.fixture
def prompts(tmp_path):
    (tmp_path / "prompts.yaml").write_text(PROMPTS)
    return str(tmp_path / "prompts.yaml")


@pytest.fixture
def faces(tmp_path, paint):
    """Six red women and six blue men, so that a colour ranks one gender first."""
    for i in range(12):
        paint(tmp_path / "images" / f"{i:02}.png", "red" if i < 6 else "blue")
    gallery = Gallery("faces", tuple(list_images(str(tmp_path / "images")).values()))
    return gallery, ["woman"] * 6 + ["man"] * 6


def test_rankings_are_those_of_the_metrics(clip, settings, faces, prompts, capsys):
    gallery, genders = faces
    config = RankingConfig(k=[4, 8], prompts=[prompts])
    found = PeopleBenchmark(gallery, {"gender": genders}, config, settings, ReadReport("faces")).measure(clip)
    summary = found.fairness["faces_colours"]["gender"]
    red = np.array([1] * 6 + [0] * 6)
    for k in (4, 8):
        assert summary[f"maxskew@{k}"]["uniform"]["value"] == pytest.approx(max_skew(red, k=k))
        assert summary[f"ndkl@{k}"]["pool"]["value"] == pytest.approx(ndkl(red, k=k, target="pool"))
        assert summary[f"maxskew@{k}"]["uniform"]["floor"] < summary[f"maxskew@{k}"]["uniform"]["value"]
    assert summary["absent_groups"] == {"4": 4, "8": 0}
    assert summary["groups"]["woman"] == {"members": 6, "top_share": {"4": 0.5, "8": 0.5}}
    assert "[faces] 12 images, attributes gender (2 groups), queries 4 colours" in capsys.readouterr().out


def test_missing_labels_and_unreadable_images_are_left_out_and_listed(clip, settings, faces, prompts, tmp_path):
    gallery, genders = faces
    (tmp_path / "images" / "03.png").write_bytes(b"broken")
    labels = {"gender": ["woman", None, *genders[2:]]}
    benchmark = PeopleBenchmark(gallery, labels, RankingConfig(k=[4], prompts=[prompts]), settings, ReadReport("faces"))
    for _ in range(2):
        summary = benchmark.measure(clip).fairness["faces_colours"]["gender"]
    assert {name: group["members"] for name, group in summary["groups"].items()} == {"woman": 4, "man": 6}
    assert benchmark.report.problems["images without a label of gender"] == ["01.png"]
    assert [item.partition(" ")[0] for item in benchmark.report.problems["unreadable images"]] == ["03.png"]


def test_one_query_per_concept_when_templates_are_averaged(clip, settings, faces, prompts):
    gallery, genders = faces
    config = RankingConfig(k=[4], prompts=[prompts], average_templates=True)
    benchmark = PeopleBenchmark(gallery, {"gender": genders}, config, settings, ReadReport("faces"))
    assert benchmark.report.facts["queries"] == "2 colours"
    assert benchmark.measure(clip).fairness["faces_colours"]["gender"]["absent_groups"] == {"4": 2}


def test_trained_concepts_apart_from_held_out_ones(prompts, tmp_path):
    (tmp_path / "concepts.yaml").write_text("concepts: [red, {name: blue, split: held_out}]\n")
    sets = query_sets(RankingConfig(k=[1], prompts=[prompts], trained_on=str(tmp_path / "concepts.yaml")))
    assert sets == {"colours": [["a red face", "red"]], "colours_held_out": [["a blue face", "blue"]]}


@pytest.mark.parametrize(
    ("labels", "k", "message"),
    [
        (["woman"] * 12, 4, r"attribute 'gender' of faces has one group only \(woman\); fairness needs at least 2"),
        ([None] * 12, 4, "has no label at all"),
        (["woman"] * 5 + ["man"] * 5 + [None] * 2, 11, "k=11 is larger than the 10 images of faces with a gender; lower k"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_embedding(settings, faces, prompts, labels, k, message):
    with pytest.raises(UserError, match=message):
        PeopleBenchmark(faces[0], {"gender": labels}, RankingConfig(k=[k], prompts=[prompts]), settings, ReadReport("faces"))


def test_too_few_readable_images_for_k(clip, settings, faces, prompts, tmp_path):
    gallery, genders = faces
    (tmp_path / "images" / "03.png").write_bytes(b"broken")
    config = RankingConfig(k=[12], prompts=[prompts])
    benchmark = PeopleBenchmark(gallery, {"gender": genders}, config, settings, ReadReport("faces"))
    with pytest.raises(UserError, match="colours, gender: k=12 is larger than the gallery of 11; lower k"):
        benchmark.measure(clip)


def test_one_k_needs_no_list():
    assert RankingConfig(k=1000).k == RankingConfig(k=[1000]).k == [1000]


def test_no_prompts_file():
    with pytest.raises(UserError, match="prompts file 'nothing' not found"):
        query_sets(RankingConfig(k=[1], prompts=["nothing"]))


def test_shipped_prompts_are_319_adjectives_and_280_occupations():
    sets = query_sets(RankingConfig(k=[1]))
    assert {name: sum(map(len, rows)) for name, rows in sets.items()} == {"adjectives": 319, "occupations": 280}
    assert sets["adjectives"][0][0] == "This is the face of a good person"
    assert "A evil" in sets["adjectives"][9]


def test_ages_in_three_groups():
    assert [age_group(years) for years in (0, 29, 30, 59, 60, 116)] == ["0-29", "0-29", "30-59", "30-59", "60+", "60+"]


@pytest.mark.real_data
def test_fairface_with_the_real_photo_model(real_data, lit_clip, settings, tmp_path):
    lines = (real_data / "fairface" / "labels_val.csv").read_text().splitlines()[:121]
    for line in lines[1:]:
        name = line.partition(",")[0]
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(real_data / "fairface" / name)
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "prompts.yaml").write_text("name: gender\ntemplates: ['a photo of a {}']\nconcepts: [man, woman]\n")
    config = FairFaceConfig(
        labels=str(tmp_path / "labels.csv"), images=str(tmp_path), padding="0.25", k=[20], attributes=["gender", "age3"],
        prompts=[str(tmp_path / "prompts.yaml")],
    )  # fmt: skip
    summary = FairFace(config, settings).measure(lit_clip).fairness["fairface_gender"]["gender"]
    row = summary["maxskew@20"]["uniform"]
    # "man" and "woman" must bring up one gender far more often than chance does.
    assert row["value"] > row["floor"] + 0.2
    assert sum(group["members"] for group in summary["groups"].values()) == 120
