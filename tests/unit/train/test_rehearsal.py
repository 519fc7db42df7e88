import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from cfray.clip.embed import embed_images, preprocess_pictures
from cfray.clip.model import load_clip
from cfray.dataset.schema import IMAGE, encode_png
from cfray.errors import UserError
from cfray.train.rehearsal import Rehearsal
from cfray.world import corpora


@pytest.fixture(scope="module")
def clip():
    return load_clip("world:clip")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ordinary")
    pictures = [encode_png(picture) for picture in corpora.things(12, 9).pictures]
    for part in range(2):
        table = pa.table({"image": pa.array(pictures[part * 6 : part * 6 + 6], IMAGE)})
        pq.write_table(table, folder / f"part-{part}.parquet")
    return str(folder)


def rehearsal(place, clip, rank=0, workers=1, images=4):
    return Rehearsal(place, clip, images_per_step=images, rank=rank, workers=workers, seed=0)


def test_the_embeddings_held_are_the_models_own(place, clip):
    inputs, held = rehearsal(place, clip).draw(3)
    assert inputs.shape == (4, 3, 64, 64)
    torch.testing.assert_close(held, embed_images(clip, inputs))
    every = preprocess_pictures(clip, corpora.things(12, 9).pictures)
    torch.testing.assert_close(rehearsal(place, clip).original, embed_images(clip, every))


def test_workers_share_what_one_worker_draws(place, clip):
    whole, _ = rehearsal(place, clip).draw(5)
    shares = [rehearsal(place, clip, rank, 2).draw(5)[0] for rank in range(2)]
    assert torch.equal(torch.stack(shares, dim=1).flatten(0, 1), whole)
    assert not torch.equal(rehearsal(place, clip).draw(6)[0], whole)


def test_places_that_cannot_be_rehearsed_on_are_named(place, clip, tmp_path):
    with pytest.raises(UserError, match="has 12 pictures; lower it"):
        rehearsal(place, clip, images=13)
    with pytest.raises(UserError, match="has no Parquet file"):
        rehearsal(str(tmp_path), clip)
    pq.write_table(pa.table({"picture": [1]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="no column 'image'; it has picture"):
        rehearsal(str(tmp_path), clip)
    sink = io.BytesIO(np.zeros(9, np.uint8).tobytes())
    pq.write_table(pa.table({"image": pa.array([{"bytes": sink.getvalue(), "path": None}], IMAGE)}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="rehearsal picture 0 cannot be read"):
        rehearsal(str(tmp_path), clip, images=1)
