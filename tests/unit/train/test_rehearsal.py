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
from cfray.train.config import RehearsalConfig
from cfray.train.rehearsal import Rehearsal, number_texts
from cfray.world import corpora


@pytest.fixture(scope="module")
def clip():
    return load_clip("world:clip")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ordinary")
    things = corpora.things(12, 9)
    pictures = [encode_png(picture) for picture in things.pictures]
    for part in range(2):
        own = slice(part * 6, part * 6 + 6)
        table = pa.table({"image": pa.array(pictures[own], IMAGE), "caption": things.labels["thing"][own]})
        pq.write_table(table, folder / f"part-{part}.parquet")
    return str(folder)


def rehearsal(place, clip, rank=0, workers=1, images=4, form="embedding"):
    config = RehearsalConfig(data=place, images_per_step=images, form=form)
    return Rehearsal(config, clip, rank=rank, workers=workers, seed=0)


def test_the_embeddings_held_are_the_models_own(place, clip):
    draw = rehearsal(place, clip).draw(3)
    assert draw.pictures.shape == (4, 3, 64, 64) and draw.captions is None
    torch.testing.assert_close(draw.held, embed_images(clip, draw.pictures))
    every = preprocess_pictures(clip, corpora.things(12, 9).pictures)
    torch.testing.assert_close(rehearsal(place, clip).original, embed_images(clip, every))


def test_workers_share_what_one_worker_draws(place, clip):
    whole = rehearsal(place, clip).draw(5).pictures
    shares = [rehearsal(place, clip, rank, 2).draw(5).pictures for rank in range(2)]
    assert torch.equal(torch.stack(shares, dim=1).flatten(0, 1), whole)
    assert not torch.equal(rehearsal(place, clip).draw(6).pictures, whole)


def test_pairs_are_numbered_in_the_order_in_which_workers_are_gathered(place, clip):
    whole = rehearsal(place, clip, form="pairs", images=6).draw(5)
    assert whole.held is None and len(whole.captions) == 6
    shares = [rehearsal(place, clip, rank, 2, images=6, form="pairs").draw(5) for rank in range(2)]
    gathered = [caption for share in shares for caption in share.captions]
    assert sorted(gathered) == sorted(whole.captions)
    assert torch.equal(shares[0].numbers, number_texts(gathered)) and torch.equal(shares[1].numbers, shares[0].numbers)


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
    with pytest.raises(UserError, match="picture 0 of .* cannot be read"):
        rehearsal(str(tmp_path), clip, images=1)
