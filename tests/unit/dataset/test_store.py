import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from cfray import storage
from cfray.dataset import store
from cfray.dataset.reader import TrainingSets
from cfray.dataset.schema import decode_mask, decode_picture, derived_seed, encode_png, new_set_id, set_schema
from cfray.errors import UserError

SCHEMA = set_schema(["gender", "skin_tone"])


def row(set_id, status="kept", variants=("kept", "kept", "rejected:gender"), seed=0):
    rng = np.random.default_rng(seed)
    picture = lambda: encode_png(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))  # noqa: E731
    return {
        "set_id": set_id,
        "concept": "doctor",
        "caption": f"a doctor {set_id}",
        "base": picture(),
        "mask": encode_png(rng.random((8, 8)) < 0.5),
        "status": status,
        "variants": [
            {"image": picture(), "prompt": f"p{i}", "status": s, "attributes": {"gender": "feminine"}}
            for i, s in enumerate(variants)
        ],
    }


def table(*rows):
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


@pytest.fixture
def dataset(tmp_path):
    place = str(tmp_path / "sets")
    plan = [{"set_id": name, "variants": [], "status": ""} for name in "abcde"]
    store.write_table(storage.join(place, store.PLAN), table(*plan))
    return place


def test_missing_is_plan_without_parts(dataset):
    store.write_part(dataset, table(row("b"), row("d", "rejected:mask_area", ())))
    assert store.missing_rows(dataset)["set_id"].to_pylist() == ["a", "c", "e"]


def test_writing_a_part_twice_is_writing_it_once(dataset):
    for _ in range(2):
        store.write_part(dataset, table(row("b"), row("d")))
    assert sorted(store.finished_ids(dataset)) == ["b", "d"]


def test_a_file_still_being_written_is_not_there(dataset, tmp_path):
    store.write_part(dataset, table(row("a")))
    (tmp_path / "sets" / "parts" / ".half.parquet.123.partial").write_bytes(b"PAR1")
    assert store.finished_ids(dataset) == ["a"]


def test_counts_by_reason(dataset):
    store.write_part(dataset, table(row("a"), row("b", "rejected:mask_area", ()), row("c", "failed:inpaint", ())))
    store.write_part(dataset, table(row("d"), row("e", "rejected:mask_area", ())))
    counts = store.count_sets(dataset)
    assert (counts.planned, counts.kept, counts.rejected, counts.failed) == (5, 2, {"mask_area": 2}, {"inpaint": 1})
    assert counts.variants == {"kept": 4, "rejected:gender": 2}


def test_kept_sets_in_the_order_of_their_ids(dataset):
    store.write_part(dataset, table(row("d"), row("a")))
    store.write_part(dataset, table(row("c", "failed:base"), row("b")))
    assert store.read_sets(dataset)["set_id"].to_pylist() == ["a", "b", "d"]
    assert store.read_sets(dataset, status=None).num_rows == 4


def test_no_data_set(tmp_path):
    with pytest.raises(UserError, match="run jobs/generate.py with output="):
        store.read_sets(str(tmp_path / "nowhere"))


def test_no_kept_set(dataset):
    store.write_part(dataset, table(row("a", "failed:base")))
    with pytest.raises(UserError, match="no set with status 'kept'"):
        store.read_sets(dataset)


def test_pictures_and_masks_survive_png():
    picture = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    mask = picture[..., 0] > 100
    assert np.array_equal(decode_picture(encode_png(picture)), picture)
    assert np.array_equal(decode_mask(encode_png(mask)), mask)


def test_ids_and_seeds_depend_on_every_part():
    ids = {
        new_set_id("a", "b", 1, "c"),
        new_set_id("ab", "", 1, "c"),
        new_set_id("a", "b", 2, "c"),
        new_set_id("a", "b", 1, "d"),
    }
    assert len(ids) == 4
    assert derived_seed(1, "x") != derived_seed(2, "x")
    assert 0 <= derived_seed("any") < 2**63


def as_tensor(image: Image.Image):
    import torch

    return torch.from_numpy(np.asarray(image)).permute(2, 0, 1).float()


def test_training_draws_base_and_kept_variants(dataset):
    store.write_part(dataset, table(row("a", seed=1), row("b", variants=("kept", "rejected:gender"), seed=2)))
    sets = TrainingSets(dataset, 3, as_tensor)
    assert (len(sets), sets.left_out, sets.captions) == (1, 1, ["a doctor a"])
    assert sets.prompts == ["p0", "p1"]
    drawn = sets.draw(0, np.random.default_rng(0))
    assert drawn.shape == (3, 3, 8, 8)
    assert len({tuple(image.flatten().tolist()) for image in drawn}) == 3


def test_an_unreadable_image_names_its_set(dataset):
    broken = row("a")
    broken["variants"][1]["image"] = {"bytes": b"not a png", "path": None}
    store.write_part(dataset, table(broken))
    with pytest.raises(UserError, match="set a: an image cannot be read"):
        TrainingSets(dataset, 2, as_tensor)


def test_too_many_images_asked_for(dataset):
    store.write_part(dataset, table(row("a")))
    with pytest.raises(UserError, match="images_per_set=9: no set"):
        TrainingSets(dataset, 9, as_tensor)


def test_failed_sets_are_withdrawn_and_their_attempts_counted(dataset):
    failed = row("c", "failed:inpaint", ()) | {"attempts": 1, "error": "OSError: no such luck"}
    store.write_part(dataset, table(row("a"), failed, row("b", "rejected:mask_area", ())))
    store.write_part(dataset, table(row("d"), row("e", "failed:base", ()) | {"attempts": 3}))
    assert store.first_error(dataset) == "c failed:inpaint, OSError: no such luck"
    assert store.withdraw_failed(dataset) == 2
    assert sorted(store.finished_ids(dataset)) == ["a", "b", "d"]
    missing = store.missing_rows(dataset).to_pylist()
    assert [(row["set_id"], row["attempts"]) for row in missing] == [("c", 1), ("e", 3)]
    assert store.withdraw_failed(dataset) == 0


def test_a_retry_that_is_killed_in_the_middle_loses_and_doubles_nothing(dataset, monkeypatch):
    store.write_part(dataset, table(row("a"), row("b", "failed:base", ()) | {"attempts": 1}))
    store.write_part(dataset, table(row("d"), row("e", "failed:base", ()) | {"attempts": 1}))
    whole, written = store.write_table, []

    def killed(place, content):
        written.append(place)
        if len(written) == 3:  # the plan and one of two parts are written
            raise KeyboardInterrupt
        whole(place, content)

    monkeypatch.setattr(store, "write_table", killed)
    with pytest.raises(KeyboardInterrupt):
        store.withdraw_failed(dataset)
    monkeypatch.setattr(store, "write_table", whole)
    assert store.withdraw_failed(dataset) == 1
    assert sorted(store.finished_ids(dataset)) == ["a", "d"]
    assert store.missing_rows(dataset)["attempts"].to_pylist() == [1, None, 1]  # b, c, e


def test_the_writer_leaves_out_what_is_there(dataset):
    store.write_part(dataset, table(row("a"), row("b")))
    writer = store.PartWriter(dataset)
    told = writer(table(row("b"), row("c")))
    assert told.to_pylist() == [{"set_id": "b", "status": "kept"}, {"set_id": "c", "status": "kept"}]
    writer(table(row("c")))
    assert sorted(store.finished_ids(dataset)) == ["a", "b", "c"]


def test_models_that_touched_the_sets(dataset):
    used = {"base": {"id": "world:text-to-image", "revision": None}, "clip": None}
    store.write_part(dataset, table(row("a") | {"models": used}, row("b")))
    assert store.models_used(dataset) == {"base": ("world:text-to-image", None)}
