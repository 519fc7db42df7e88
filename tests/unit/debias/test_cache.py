import io

import pytest
import torch
from PIL import Image

from cfray.debias import cache as cache_module
from cfray.debias.cache import EmbeddingCache
from cfray.errors import UserError


def paint(path, colour):
    Image.new("RGB", (12, 12), colour).save(path)
    return path


@pytest.fixture
def pictures(tmp_path):
    return [paint(tmp_path / f"{i}.png", (40 * i, 100, 200)) for i in range(5)]


@pytest.fixture
def place(tmp_path):
    return str(tmp_path / "cache")


def test_embeddings_are_un_normalised_and_computed_once(tiny_clip, pictures, place):
    first = EmbeddingCache(tiny_clip, place, batch=2).images(pictures)
    inputs = torch.stack([tiny_clip.preprocess(Image.open(path)) for path in pictures])
    torch.testing.assert_close(first, tiny_clip.model.visual(inputs.mean(dim=(2, 3))).detach())
    seen = tiny_clip.model.embedded
    assert torch.equal(EmbeddingCache(tiny_clip, place).images(pictures), first)
    assert tiny_clip.model.embedded == seen
    texts = EmbeddingCache(tiny_clip, place).texts(["a", "bc"])
    assert torch.equal(EmbeddingCache(tiny_clip, place).texts(["a", "bc"]), texts)
    assert tiny_clip.model.embedded == seen + 2


def test_content_can_be_a_file_or_bytes(tiny_clip, pictures, place):
    cache = EmbeddingCache(tiny_clip, place)
    assert torch.equal(cache.images([path.read_bytes() for path in pictures]), cache.images(pictures))


def test_a_change_is_seen(tiny_clip, pictures, place):
    before = EmbeddingCache(tiny_clip, place).images(pictures)
    paint(pictures[0], (0, 0, 0))
    after = EmbeddingCache(tiny_clip, place).images(pictures)
    assert not torch.equal(after[0], before[0])
    assert torch.equal(after[1:], before[1:])
    with torch.no_grad():
        tiny_clip.model.visual.bias += 1
    torch.testing.assert_close(EmbeddingCache(tiny_clip, place).images(pictures), after + 1)


def test_an_interrupted_run_keeps_its_parts(tiny_clip, pictures, place, monkeypatch):
    monkeypatch.setattr(cache_module, "PART", 2)
    bad = io.BytesIO(b"not a picture").getvalue()
    with pytest.raises(UserError, match="picture of 13 bytes cannot be read"):
        EmbeddingCache(tiny_clip, place).images([*pictures, bad])
    assert tiny_clip.model.embedded == 4
    EmbeddingCache(tiny_clip, place).images(pictures)
    assert tiny_clip.model.embedded == 5


def test_nothing_to_embed(tiny_clip, place):
    with pytest.raises(UserError, match="no texts to embed"):
        EmbeddingCache(tiny_clip, place).texts([])
