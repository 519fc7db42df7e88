import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cfray.errors import UserError
from cfray.evaluate.captions import Captions, CaptionsConfig
from cfray.evaluate.karpathy import Karpathy, KarpathyConfig

CYCLE = ("red", "green", "blue")


def entry(i, split="test", captions=2, **more):
    sentences = [{"raw": f" a {CYCLE[i % 3]} thing {n}", "tokens": []} for n in range(captions)]
    return {"filename": f"{i}.jpg", "split": split, "sentences": sentences, "imgid": i} | more


@pytest.fixture
def folder(tmp_path, paint):
    for i in range(12):
        paint(tmp_path / "images" / f"{i}.jpg", CYCLE[i % 3])
    return tmp_path


def karpathy(folder, entries, **changes):
    (folder / "dataset.json").write_text(json.dumps({"dataset": "x", "images": entries}))
    fields = {"kind": "flickr30k", "annotations": str(folder / "dataset.json"), "images": str(folder / "images")}
    return KarpathyConfig(**fields | changes)


def test_recall_in_both_directions(folder, clip, settings, capsys):
    found = Karpathy(karpathy(folder, [entry(i) for i in range(12)]), settings).measure(clip).accuracy
    assert len(found) == 6
    # Four images share a colour and ties go to the lower index: one caption in four finds its own image first.
    assert found["recall@1_text_to_image_flickr30k"] == 0.25
    assert found["recall@5_text_to_image_flickr30k"] == found["recall@10_image_to_text_flickr30k"] == 1
    expected = "[flickr30k] split test, 12 images, 24 captions, direction text to image and image to text"
    assert expected in capsys.readouterr().out


def test_a_split_its_first_captions_and_what_is_missing(folder, settings, paint):
    entries = [entry(i, captions=7) for i in range(11)] + [entry(11, "train"), entry(12), entry(13, captions=0)]
    paint(folder / "images" / "13.jpg")
    paint(folder / "images" / "99.jpg")
    report = Karpathy(karpathy(folder, entries), settings).report
    assert (report.facts["images"], report.facts["captions"]) == (11, 55)
    assert report.problems == {
        "rows without an image": ["12.jpg"], "images without a row": ["99.jpg"], "images without a caption": ["13.jpg"],
    }  # fmt: skip


def test_coco_has_folders(folder, settings, paint):
    for i in range(10):
        paint(folder / "coco" / "val2014" / f"{i}.jpg")
    entries = [entry(i, "val", filepath="val2014") for i in range(10)]
    config = karpathy(folder, entries, kind="coco", images=str(folder / "coco"), split="val")
    assert Karpathy(config, settings).report.facts["images"] == 10


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not Karpathy's"),
        ('{"images": [{"filename": "a"}]}', "is not Karpathy's"),
        ('{"images": [{"filename": "0.jpg", "split": "val", "sentences": []}]}', "split='test': no image .* it has val"),
    ],
)
def test_wrong_annotations(folder, settings, content, message):
    config = karpathy(folder, [])
    (folder / "dataset.json").write_text(content)
    with pytest.raises(UserError, match=message):
        Karpathy(config, settings)


def test_too_few_images(folder, settings):
    with pytest.raises(UserError, match="flickr30k has 3 images with captions; recall@10 needs 10"):
        Karpathy(karpathy(folder, [entry(i) for i in range(3)]), settings)


def captions(folder, name, **changes):
    return CaptionsConfig(captions=str(folder / name), images=str(folder), below="images/", **changes)


def test_captions_of_lists_of_rows_and_of_parquet(folder, clip, settings):
    files = [f"images/{i}.jpg" for i in range(12)]
    texts = [[f"a {CYCLE[i % 3]} thing", f"a {CYCLE[i % 3]} one"] for i in range(12)]
    lines = [json.dumps({"file": file, "captions": row}) for file, row in zip(files, texts, strict=True)]
    lines += ['{"file": "images/3.jpg", "captions": []}', '{"file": "other/1.jpg", "captions": ["x"]}', '{"captions": ["x"]}']
    (folder / "c.jsonl").write_text("\n".join(lines))
    rows = [f"{file},{caption}" for file, row in zip(files, texts, strict=True) for caption in row]
    (folder / "c.csv").write_text("file,captions\n" + "\n".join(rows) + "\n")
    pq.write_table(pa.table({"file": files, "captions": texts}), folder / "c.parquet")
    found = []
    for name in ("c.jsonl", "c.csv", "c.parquet"):
        benchmark = Captions(captions(folder, name), settings)
        assert benchmark.report.facts["captions"] == 24
        found.append(benchmark.measure(clip).accuracy)
        if name == "c.jsonl":
            assert benchmark.report.problems == {"rows without a file or a caption": ["row 13 images/3.jpg", "row 15"]}
    assert found[0] == found[1] == found[2]
    assert found[0]["recall@5_text_to_image_captions"] == 1


def test_unreadable_images_take_their_captions_with_them(folder, clip, settings):
    (folder / "images" / "0.jpg").write_bytes(b"broken")
    benchmark = Karpathy(karpathy(folder, [entry(i) for i in range(12)]), settings)
    assert benchmark.measure(clip).accuracy["recall@5_text_to_image_flickr30k"] == 1
    assert len(benchmark.report.problems["unreadable images"]) == 1


@pytest.mark.real_data
def test_coco_with_the_real_photo_model(real_data, lit_clip, settings, tmp_path):
    lines = (real_data / "coco_mini" / "captions_persons.jsonl").read_text().splitlines()
    chosen = [line for line in lines if '"val2017/' in line][:60]
    (tmp_path / "captions.jsonl").write_text("\n".join(chosen))
    config = CaptionsConfig(
        name="coco", captions=str(tmp_path / "captions.jsonl"), images=str(real_data / "coco_mini"), below="val2017/",
        captions_per_image=2,
    )  # fmt: skip
    found = Captions(config, settings).measure(lit_clip).accuracy
    # Chance is 8 %.
    assert found["recall@5_text_to_image_coco"] > 0.3
    assert found["recall@5_image_to_text_coco"] > 0.3
