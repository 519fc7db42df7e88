import csv

import numpy as np
import pytest

from cfray.clip.model import load_clip
from cfray.debias.cache import EmbeddingCache
from cfray.debias.faces import LabelledPictures, read_folder
from cfray.debias.inferred import check_inferred, infer_labels
from cfray.debias.texts import load_texts
from cfray.errors import UserError

VALUES = ["masculine", "feminine"]


def test_labels_that_clip_infers_are_mostly_true(faces, capsys):
    people = read_folder(str(faces))
    with (faces / "labels.csv").open() as stream:
        truth = {row["file"]: row["gender"] for row in csv.DictReader(stream)}
    cache = EmbeddingCache(load_clip("world:clip"), str(faces / "cache"))
    assert people.labels == {}
    found = infer_labels(cache, people, load_texts("debias-world"), {"gender": VALUES}, "kmeans")
    right = [truth[path.name] == label for path, label in zip(people.pictures, found.labels["gender"], strict=True)]
    assert np.mean(right) > 0.8
    assert "[debias] gender inferred: masculine" in capsys.readouterr().out


def test_what_cannot_be_inferred_is_refused(faces, tmp_path):
    people, texts = read_folder(str(faces)), load_texts("debias-world")
    labelled = LabelledPictures(people.pictures, {"gender": np.array(VALUES * 24)})
    for pictures, inferred, message in (
        (labelled, {"gender": VALUES}, "is in pictures.labels and in pictures.inferred"),
        (people, {"gender": ["feminine"]}, "names fewer than two values"),
        (people, {"gender": ["feminine", "robot"]}, "gender='robot' has no words"),
    ):
        with pytest.raises(UserError, match=message):
            check_inferred(pictures, texts, inferred)
    with pytest.raises(UserError, match="no picture .* in folder"):
        read_folder(str(tmp_path))
