import io
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cfray.errors import UserError
from cfray.evaluate.imagenet import ImageNet, ImageNetConfig, class_number
from cfray.evaluate.labelled import Labelled, LabelledConfig
from cfray.evaluate.people import RankingConfig
from cfray.evaluate.reading import ReadReport
from cfray.evaluate.webdataset import WebDataset, WebDatasetConfig, read_shards
from cfray.evaluate.zero_shot import ZeroShotBenchmark

CLASSES = ("red", "green", "blue")


@pytest.fixture
def folders(tmp_path, paint):
    for i in range(9):
        paint(tmp_path / "images" / CLASSES[i % 3] / f"{i}.png", CLASSES[i % 3])
    return tmp_path


def shard(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def test_class_folders(folders, clip, settings, paint, capsys):
    paint(folders / "images" / "loose.png")
    paint(folders / "images" / "blue" / "wrong.png", "red")
    benchmark = Labelled(LabelledConfig(name="colours", images=str(folders / "images")), settings)
    assert benchmark.measure(clip).accuracy == {"zero_shot_colours": 0.9}
    assert benchmark.report.problems == {"images in no class folder": ["loose.png"]}
    assert "[colours] 3 classes, 10 images" in capsys.readouterr().out


def test_a_table_with_classes_and_attributes(folders, clip, settings, paint):
    rows = [f"{CLASSES[i % 3]}/{i}.png,{CLASSES[i % 3]},{'a' if i % 2 else 'b'},test" for i in range(8)]
    rows += ["green/7.png,red,a,test", "blue/8.png,,a,test", "red/77.png,red,a,test", "red/6.png,red,,train"]
    (folders / "labels.csv").write_text("file,colour,group,split\n" + "\n".join(rows) + "\n")
    paint(folders / "images" / "red" / "99.png")
    config = LabelledConfig(
        name="colours", images=str(folders / "images"), labels=str(folders / "labels.csv"), class_column="colour",
        attributes=["group"], where={"split": "test"}, ranking=RankingConfig(k=[2], prompts=["prompts-activities"]),
    )  # fmt: skip
    benchmark = Labelled(config, settings)
    found = benchmark.measure(clip)
    assert found.accuracy == {"zero_shot_colours": 1}
    assert set(found.fairness) == {"colours_activities"}
    assert {n: g["members"] for n, g in found.fairness["colours_activities"]["group"]["groups"].items()} == {"a": 5, "b": 4}
    assert benchmark.report.problems == {
        "rows about an image that had one before": ["green/7.png", "red/6.png"],
        "rows without an image": ["red/77.png"],
        "images without a row": ["red/99.png"],
        "images without a class": ["blue/8.png"],
    }


def test_images_inside_a_parquet_file(folders, clip, settings):
    contents = [{"bytes": (folders / "images" / CLASSES[i % 3] / f"{i}.png").read_bytes(), "path": None} for i in range(9)]
    contents[4] = {"bytes": b"broken", "path": None}
    table = pa.table({"image": contents, "label": [CLASSES[i % 3] for i in range(9)]})
    pq.write_table(table, folders / "x.parquet", row_group_size=4)
    config = LabelledConfig(name="colours", labels=str(folders / "x.parquet"), class_column="label")
    benchmark = Labelled(config, settings)
    assert benchmark.measure(clip).accuracy == {"zero_shot_colours": 1}
    assert [item[:6] for item in benchmark.report.problems["unreadable images"]] == ["row 4 "]
    with pytest.raises(UserError, match="has no column 'picture'; it has image, label"):
        Labelled(config.model_copy(update={"image_column": "picture"}), settings)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "neither images nor labels"),
        ({"labels": "x.csv", "class_column": "c"}, "only a .parquet file can hold the images"),
        ({"images": "i", "attributes": ["a"]}, "has no labels file"),
        ({"images": "i", "labels": "x.csv", "attributes": ["a"]}, "has attributes and no ranking"),
        ({"images": "i", "labels": "x.csv"}, "nothing to measure"),
        ({"images": "i", "templates": ["a photo"]}, "must have exactly one {}"),
    ],
)
def test_configurations_that_do_not_fit(settings, fields, message):
    with pytest.raises(UserError, match=message):
        Labelled(LabelledConfig(name="x", **fields), settings)


def test_where_without_a_row(folders, settings):
    (folders / "labels.csv").write_text("file,colour\nred/0.png,red\n")
    config = LabelledConfig(
        name="x", images=str(folders / "images"), labels=str(folders / "labels.csv"), class_column="colour",
        where={"colour": "pink"},
    )  # fmt: skip
    with pytest.raises(UserError, match="where={'colour': 'pink'}: no row"):
        Labelled(config, settings)


@pytest.fixture
def webdataset(tmp_path, paint):
    images = [paint(tmp_path / "made" / f"{i}.jpg", CLASSES[i % 3]).read_bytes() for i in range(12)]
    root = tmp_path / "wds"
    (root / "test").mkdir(parents=True)
    (root / "train").mkdir()
    for number in range(2):
        members = {}
        for i in range(6 * number, 6 * number + 6):
            members |= {f"s{i:04}.jpg": images[i], f"s{i:04}.cls": str(i % 3).encode()}
        shard(root / "test" / f"{number}.tar", members)
    shard(root / "train" / "0.tar", {"x.jpg": images[0], "x.cls": b"0"})
    (root / "test" / "nshards.txt").write_text("2")
    (root / "classnames.txt").write_text("red\ngreen\nblue\n")
    (root / "zeroshot_classification_templates.txt").write_text("a {c} photo\n{c}\n")
    return root


def test_webdataset_classification(webdataset, clip, settings, capsys):
    config = WebDatasetConfig(name="wds", data=str(webdataset))
    benchmark = WebDataset(config, settings)
    assert [picture.name for picture in benchmark.galleries[0].pictures][:2] == ["0.tar/s0000", "0.tar/s0001"]
    assert benchmark.measure(clip).accuracy == {"zero_shot_wds": 1}
    assert "[wds] type classification, split test, 2 shards, 12 images, 3 classes, 6 prompts" in capsys.readouterr().out


def test_webdataset_samples_that_do_not_fit(webdataset, settings, paint):
    image = paint(webdataset.parent / "x.jpg").read_bytes()
    images = {f"{key}.jpg": image for key in "abde"}
    shard(webdataset / "test" / "1.tar", images | {"a.cls": b"7", "c.cls": b"1", "d.cls": b"red", "e.cls": b"2"})
    benchmark = WebDataset(WebDatasetConfig(name="wds", data=str(webdataset)), settings)
    assert benchmark.report.problems == {
        "samples without an image": ["1.tar/c"],
        "samples without a label": ["1.tar/b"],
        "samples with a label that is none of the 3 classes": ["1.tar/a (7)", "1.tar/d (red)"],
    }
    assert len(benchmark.galleries[0]) == 7


def test_webdataset_retrieval(webdataset, clip, settings, paint):
    (webdataset / "dataset_type.txt").write_text("retrieval\n")
    members = {}
    for i in range(11):
        members[f"{i}.png"] = paint(webdataset.parent / f"{i}.png", CLASSES[i % 3]).read_bytes()
        members[f"{i}.txt"] = f"a {CLASSES[i % 3]} thing\n\na {CLASSES[i % 3]} one\n".encode() if i < 10 else b""
    shard(webdataset / "test" / "0.tar", members)
    (webdataset / "test" / "1.tar").unlink()
    (webdataset / "test" / "nshards.txt").write_text("1")
    benchmark = WebDataset(WebDatasetConfig(name="wds", data=str(webdataset)), settings)
    assert benchmark.report.facts["captions"] == 20
    assert benchmark.report.problems == {"images without a caption": ["0.tar/10"]}
    # Of eight captions of one colour, all tied, those of the fourth red image come last.
    assert benchmark.measure(clip).accuracy["recall@5_image_to_text_wds"] == 0.9


def test_webdataset_that_cannot_be_read(webdataset, settings):
    config = WebDatasetConfig(name="wds", data=str(webdataset))
    (webdataset / "dataset_type.txt").write_text("multilabel")
    with pytest.raises(UserError, match="is of type 'multilabel'"):
        WebDataset(config, settings)
    (webdataset / "dataset_type.txt").unlink()
    (webdataset / "classnames.txt").unlink()
    with pytest.raises(UserError, match="classnames.txt' is missing or empty"):
        WebDataset(config, settings)
    with pytest.raises(UserError, match="has no .tar file"):
        WebDataset(config.model_copy(update={"split": "val"}), settings)
    shard_0 = webdataset / "test" / "0.tar"
    shard_0.write_bytes(shard_0.read_bytes()[:700])
    with pytest.raises(UserError, match="0.tar' is damaged or compressed"):
        WebDataset(config, settings)
    shard_0.unlink()
    with pytest.raises(UserError, match="has 1 .tar files and nshards.txt says 2"):
        WebDataset(config, settings)


def test_shards_are_read_by_number(tmp_path, paint):
    image = paint(tmp_path / "x.jpg").read_bytes()
    for number in (10, 2):
        shard(tmp_path / f"{number}.tar", {f"{number}.jpg": image})
    assert list(read_shards(str(tmp_path), ReadReport("x"))) == ["2.tar/2", "10.tar/10"]


def test_imagenet_class_folders_and_shards(tmp_path, paint, settings):
    names = ("n01440764", "n15075141", "0", "999", "1000", "cats")
    assert [class_number(name) for name in names] == [0, 999, 0, 999, None, None]
    for folder in ("n01440764", "n15075141", "cats"):
        paint(tmp_path / "v1" / folder / "a.JPEG")
    # Folders of ImageNet-V2 sort as text: "10" comes before "2".
    for folder in ("2", "10"):
        paint(tmp_path / "v2" / folder / "a.jpeg")
    image = (tmp_path / "v2" / "2" / "a.jpeg").read_bytes()
    (tmp_path / "wds").mkdir()
    shard(tmp_path / "wds" / "0.tar", {"a.jpg": image, "a.cls": b"281", "b.jpg": image, "b.cls": b"1000"})
    first, second, shards = (
        ImageNet(ImageNetConfig(name=name, images=str(tmp_path / name)), settings) for name in ("v1", "v2", "wds")
    )
    assert first._classes.tolist() == [0, 999]
    assert first.report.problems["images in no class folder"] == ["cats/a.JPEG"]
    assert (first.report.facts["classes"], first.report.facts["prompts"]) == (1000, 80000)
    assert len(first.report.problems["classes without an image"]) == 998
    assert second._classes.tolist() == [10, 2]
    assert shards._classes.tolist() == [281]
    assert shards.report.facts["layout"] == "WebDataset"
    with pytest.raises(UserError, match="has 1 images, none in a folder named by a WordNet id"):
        ImageNet(ImageNetConfig(images=str(tmp_path / "v1" / "cats")), settings)


def test_top5_counts_among_all_classes(folders, clip, settings):
    from cfray.evaluate.images import Gallery, list_images

    found = list_images(str(folders / "images" / "blue"))
    prompts = [["red"], ["green"], ["red green"], ["red blue"], ["green blue"], ["red green blue"], ["blue"]]
    gallery = Gallery("g", tuple(found.values()))
    right = ZeroShotBenchmark(gallery, [6] * len(found), prompts, settings, ReadReport("x")).measure(clip).accuracy
    wrong = ZeroShotBenchmark(gallery, [0] * len(found), prompts, settings, ReadReport("x")).measure(clip).accuracy
    assert right == {"zero_shot_x": 1, "zero_shot_x_top5": 1}
    assert wrong == {"zero_shot_x": 0, "zero_shot_x_top5": 0}
    assert np.isfinite(list(right.values())).all()


@pytest.mark.real_data
def test_professions_with_the_real_photo_model(real_data, lit_clip, settings, tmp_path):
    lines = (real_data / "idenprof" / "labels.csv").read_text().splitlines()
    by_class: dict[str, list[str]] = {}
    for line in lines[1:]:
        if ",test," in line:
            by_class.setdefault(line.rpartition(",")[2], []).append(line)
    chosen = [line for rows in by_class.values() for line in rows[:8]]
    (tmp_path / "labels.csv").write_text("\n".join([lines[0], *chosen]) + "\n")
    config = LabelledConfig(
        name="idenprof", images=str(real_data / "idenprof"), labels=str(tmp_path / "labels.csv"), class_column="profession",
        class_names={"police": "police officer"},
    )  # fmt: skip
    benchmark = Labelled(config, settings)
    assert benchmark.measure(lit_clip).accuracy["zero_shot_idenprof"] > 0.6
    assert len(benchmark.galleries[0]) == 80
