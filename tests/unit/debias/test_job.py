import json

import pytest
import torch
from torch.nn import functional as F

from cfray.clip.debiasers import GatedJoint
from cfray.clip.embed import embed_texts
from cfray.clip.model import load_clip
from cfray.config import build_config
from cfray.debias.config import DebiasConfig, JointConfig
from cfray.debias.job import debias
from cfray.debias.validation import Reference, split_held_out, validation_able
from cfray.errors import UserError
from cfray.metrics import able, max_skew


def configure(faces, output, **changes):
    data = {
        "output": str(output), "model": "world:clip", "method": {"kind": "joint", "gated": {"steps": 5}},
        "pictures": {"table": str(faces / "labels.csv"), "labels": ["gender", "skin_tone"]}, "attributes": ["gender"],
        "texts": "debias-world", "cache": str(faces / "cache"),
    }  # fmt: skip
    return build_config(DebiasConfig, data | changes)


def test_a_debiased_model_is_written_and_loads_as_a_clip(faces, tmp_path):
    config = configure(faces, tmp_path / "run")
    record = debias(config)
    place = record["result"]["model"]
    texts = ["a photo of a nurse"]
    base, debiased = embed_texts(load_clip("world:clip"), texts), embed_texts(load_clip(place), texts)
    assert not torch.equal(base, debiased)
    assert torch.equal(embed_texts(load_clip(place, strength=0), texts), base)
    assert debias(config)["finished"] == record["finished"]
    settings = json.loads((tmp_path / "run/model/debias.json").read_text())
    assert settings["weights"] == record["result"]["weights"]
    with pytest.raises(UserError, match="fitted on a model with hash"):
        settings["weights"] = "0" * 16
        (tmp_path / "run/model/debias.json").write_text(json.dumps(settings))
        (tmp_path / "run/model/SHA256SUMS").unlink()  # a changed file is refused for its checksum first
        load_clip(place)


def test_a_reference_gives_the_able_of_the_fit(faces, tmp_path):
    reference = {"table": str(faces / "labels.csv"), "label": "gender"}
    method = {"kind": "joint", "form": "published", "published": {"epochs": 2, "batch": 16, "queue": 32}}
    record = debias(configure(faces, tmp_path / "run", reference=reference, method=method, validation_share=0.3))
    assert 0 < record["result"]["able"] < 1
    assert record["result"]["pictures"] < 48


def test_pictures_without_labels_are_fitted_on_groups_that_clip_infers(faces, tmp_path):
    pictures = {"folder": str(faces), "inferred": {"gender": ["feminine", "masculine"]}, "inference": "kmeans"}
    record = debias(configure(faces, tmp_path / "run", pictures=pictures))
    assert record["result"]["pictures"] == 48
    with pytest.raises(UserError, match=r"pictures.labels=\['gender'\] cannot be read from a folder"):
        debias(configure(faces, tmp_path / "other", pictures={"folder": str(faces), "labels": ["gender"]}))


def test_refusals(faces, tmp_path):
    with pytest.raises(UserError, match="published.batch=512 is larger than the 48 training pictures"):
        debias(configure(faces, tmp_path / "run", method={"kind": "joint", "form": "published"}))
    pictures = {"table": "a.csv", "sets": "b", "labels": ["gender"]}
    with pytest.raises(UserError, match="pictures names 2 sources"):
        debias(configure(faces, tmp_path / "run", pictures=pictures))
    assert not (tmp_path / "run").exists()


def test_validation_able_by_hand(truth):
    held_out = truth.data.subset(torch.arange(100))
    reference = Reference(truth.images[:50], truth.texts[:50, None], torch.arange(50).numpy())
    untouched = GatedJoint("planted", dim=24, attributes=1, rank=1)
    scores = F.normalize(truth.data.neutral) @ F.normalize(held_out.images).T
    ranked = held_out.labels["gender"][scores.argsort(dim=1, descending=True)]
    skews = [max_skew(row.numpy(), k=10) for row in ranked]
    assert validation_able(untouched, held_out, reference) == pytest.approx(able(1.0, sum(skews) / len(skews)))


def test_sets_are_held_out_whole(truth_in_sets):
    kept, held_out = split_held_out(truth_in_sets.data, 0.3, seed=0)
    assert len(kept.images) + len(held_out.images) == 400
    assert 0.2 < len(held_out.images) / 400 < 0.4
    assert not set(kept.sets.tolist()) & set(held_out.sets.tolist())


def test_the_gated_form_is_the_default_and_keys_are_checked(faces, tmp_path):
    assert JointConfig().form == "gated"
    with pytest.raises(UserError, match="unknown configuration key 'method.joint.published.epoch'; known here: .*epochs"):
        configure(faces, tmp_path, method={"kind": "joint", "published": {"epoch": 3}})
    with pytest.raises(UserError, match="method.kind='wish' is unknown"):
        configure(faces, tmp_path, method={"kind": "wish"})
