"""Texts are embedded once for as long as only the image tower changes."""

import pytest
import torch

from cfray.clip.embed import TextEmbeddings, embed_texts
from cfray.clip.model import load_clip

TEXTS = ["a photo of a doctor", "a photo of a chef", "a photo of a doctor"]


@pytest.fixture
def counted(monkeypatch):
    """The world's CLIP and a list of how many texts went through its text tower."""
    clip, seen = load_clip("world:clip"), []
    encode = clip.model.encode_text
    monkeypatch.setattr(clip.model, "encode_text", lambda ids: (seen.append(len(ids)), encode(ids))[1])
    return clip, seen


def change(clip, part):
    with torch.no_grad():
        next(value for key, value in clip.model.named_parameters() if key.startswith(part)).mul_(1.5)


def test_each_text_is_embedded_once_and_as_embed_texts_does(counted):
    clip, seen = counted
    texts = TextEmbeddings()
    rows = texts.embed(clip, TEXTS)
    assert seen == [2]
    torch.testing.assert_close(rows, embed_texts(clip, TEXTS))
    seen.clear()
    texts.embed(clip, [*TEXTS, "a photo of a judge"])
    assert seen == [1]


def test_another_image_tower_keeps_the_texts(counted):
    clip, seen = counted
    texts = TextEmbeddings()
    texts.embed(clip, TEXTS)
    change(clip, "visual.")
    texts.embed(clip, TEXTS)
    assert seen == [2]


def test_another_text_tower_embeds_them_anew(counted):
    clip, seen = counted
    texts = TextEmbeddings()
    before = texts.embed(clip, TEXTS)
    change(clip, "positional_embedding")
    after = texts.embed(clip, TEXTS)
    assert seen == [2, 2]
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, embed_texts(clip, TEXTS))
