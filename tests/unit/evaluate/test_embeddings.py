from dataclasses import replace

import numpy as np
import pytest
import torch

from cfray.clip.model import load_clip
from cfray.errors import UserError
from cfray.evaluate.embedding_files import weights_hash
from cfray.evaluate.embeddings import Encoder
from cfray.evaluate.images import Gallery, list_images
from cfray.evaluate.one_pass import Weighted, embed_in_one_pass


@pytest.fixture
def gallery(tmp_path, paint):
    for i, colour in enumerate(("red", "green", "blue", "red", "blue")):
        paint(tmp_path / "images" / f"{i}.png", colour)
    (tmp_path / "images" / "2b.png").write_bytes(b"broken")
    return lambda: Gallery("colours", tuple(list_images(str(tmp_path / "images")).values()))


def test_embeddings_are_in_order_of_unit_norm_and_without_the_unreadable(clip, settings, gallery):
    found = Encoder(clip, settings).images(gallery())
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, rtol=1e-6)
    assert found.vectors.argmax(axis=1).tolist() == [0, 1, 2, 0, 2]
    assert found.readable.tolist() == [True, True, True, False, True, True]
    assert list(found.unreadable) == ["2b.png"]
    assert "identify" in found.unreadable["2b.png"]


def test_a_warm_cache_reads_no_image(clip, settings, gallery, tmp_path, monkeypatch):
    images = gallery()
    first = Encoder(clip, settings).images(images)
    monkeypatch.setattr("cfray.storage.read_bytes", _only_below(tmp_path / "cache"))
    second = Encoder(clip, settings).images(images)
    np.testing.assert_array_equal(first.vectors, second.vectors)
    assert second.unreadable == first.unreadable


def test_changed_weights_images_and_preprocessing_are_embedded_anew(clip, settings, gallery, paint, tmp_path):
    Encoder(clip, settings).images(gallery())
    seen = clip.model.images_seen
    paint(tmp_path / "images" / "0.png", "blue", (30, 30))
    assert Encoder(clip, settings).images(gallery()).vectors.argmax(axis=1)[0] == 2
    assert clip.model.images_seen == seen + 5
    with torch.no_grad():
        clip.model.gain[0] = 0.5
    Encoder(clip, settings).images(gallery())
    assert clip.model.images_seen == seen + 10
    clip.preprocess.transforms[0].size = (4, 4)
    Encoder(clip, settings).images(gallery())
    assert clip.model.images_seen == seen + 15


def test_each_precision_keeps_its_own_and_bfloat16_is_close(settings, gallery):
    clip = load_clip("world:clip")
    exact = Encoder(clip, settings).images(gallery()).vectors
    fast = Encoder(clip, replace(settings, precision="bf16")).images(gallery()).vectors
    assert fast.dtype == np.float32 and not np.array_equal(exact, fast)
    assert (exact * fast).sum(axis=1).min() > 0.999
    np.testing.assert_array_equal(Encoder(clip, settings).images(gallery()).vectors, exact)


def test_many_weights_share_one_decoding(clip, settings, gallery, monkeypatch):
    states = [{"gain": torch.tensor([1.0, gain, 1.0])} for gain in (1.0, 2.0, 4.0)]
    decoded = []
    monkeypatch.setattr("cfray.evaluate.one_pass.decode", _counting(decoded))
    embed_in_one_pass([Weighted(clip, lambda state=state: state) for state in states], gallery().parts(), settings)
    assert len(decoded) == 6
    for state in states:
        clip.model.load_state_dict(state)
        together = Encoder(clip, settings).images(gallery())
        alone = Encoder(clip, replace(settings, cache=f"{settings.cache}-alone")).images(gallery())
        np.testing.assert_array_equal(together.vectors, alone.vectors)
    assert len(decoded) == 6 + 3 * 6
    embed_in_one_pass([Weighted(clip, lambda state=state: state) for state in states], gallery().parts(), settings)
    assert len(decoded) == 6 + 3 * 6


def test_no_image_readable(clip, settings, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"broken")
    found = Encoder(clip, settings).images(Gallery("g", tuple(list_images(str(tmp_path / "images")).values())))
    assert len(found.vectors) == 0
    assert not found.readable.any()


def test_a_failing_disk_is_no_unreadable_image(clip, settings, gallery, monkeypatch):
    images = gallery()
    monkeypatch.setattr("cfray.storage.read_bytes", _failing)
    with pytest.raises(OSError, match="disk"):
        Encoder(clip, settings).images(images)


def test_texts_and_prototypes_are_kept(clip, settings):
    encoder = Encoder(clip, settings)
    prompts = [["red", "a red one"], ["blue"]]
    prototypes, texts = encoder.prototypes(prompts), encoder.texts(["red", "blue"])
    assert prototypes.argmax(axis=1).tolist() == texts.argmax(axis=1).tolist() == [0, 2]
    clip.model.encode_text = None
    again = Encoder(clip, settings)
    np.testing.assert_array_equal(again.texts(["red", "blue"]), texts)
    np.testing.assert_array_equal(again.prototypes(prompts), prototypes)


def test_the_hash_of_weights_knows_names_types_and_values():
    state = {"a": torch.zeros(2), "b": torch.tensor(1)}
    different = [{"a": torch.zeros(2)}, {**state, "b": torch.tensor(2)}, {**state, "a": torch.zeros(2, dtype=torch.float16)}]
    hashes = {weights_hash(s) for s in [state, *different, {"a": torch.zeros(1, 2), "b": torch.tensor(1)}]}
    assert len(hashes) == 5
    assert weights_hash(dict(reversed(state.items()))) == weights_hash(state)


def _only_below(folder):
    from pathlib import Path

    def read(place):
        assert place.startswith(str(folder)), place
        return Path(place).read_bytes()

    return read


def _counting(decoded):
    from cfray.evaluate.images import decode

    def count(content, box=None):
        decoded.append(len(content))
        return decode(content, box)

    return count


def _failing(place):
    raise OSError("disk")


def test_a_diverged_model_is_refused_and_nothing_is_kept(clip, settings, gallery, tmp_path):
    with torch.no_grad():
        clip.model.gain[0] = float("nan")
    with pytest.raises(UserError, match="5 of 5 embeddings are NaN or infinite, first that of '0.png': the weights"):
        Encoder(clip, settings).images(gallery())
    assert not list((tmp_path / "cache").rglob("*.parquet"))
    clip.model.encode_text = lambda ids: torch.full((len(ids), 3), float("nan"))
    with pytest.raises(UserError, match="2 of 2 embeddings are NaN or infinite, first that of 'red'"):
        Encoder(clip, settings).texts(["red", "blue"])


def test_large_galleries_are_kept_in_parts(clip, settings, gallery, monkeypatch):
    monkeypatch.setattr("cfray.evaluate.images.PART", 4)
    whole = gallery()
    assert [len(part) for part in whole.parts()] == [4, 2]
    found = Encoder(clip, settings).images(whole)
    assert found.vectors.argmax(axis=1).tolist() == [0, 1, 2, 0, 2]
    assert found.readable.tolist() == [True, True, True, False, True, True]
    seen = clip.model.images_seen
    # A picture that comes last changes the last part only.
    longer = Gallery(whole.name, (*whole.pictures, replace(whole.pictures[0], name="again")))
    assert len(Encoder(clip, settings).images(longer).vectors) == 6
    assert clip.model.images_seen == seen + 3
