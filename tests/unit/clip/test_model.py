import tempfile
from pathlib import Path

import pytest
import torch

from cfray import storage
from cfray.clip.huggingface import save_huggingface
from cfray.clip.model import WEIGHTS_FILE, load_clip, save_clip
from cfray.errors import UserError


def test_a_checkpoint_that_was_cut_off_is_not_loaded(tmp_path):
    clip = load_clip("world:clip")
    save_clip(clip, "world:clip", clip.model.state_dict(), str(tmp_path / "model"))
    load_clip(str(tmp_path / "model"))
    weights = Path(tmp_path / "model" / WEIGHTS_FILE)
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(UserError, match=f"model/{WEIGHTS_FILE}' is damaged"):
        load_clip(str(tmp_path / "model"))


@pytest.mark.parametrize("save", [save_huggingface, lambda clip, state, place: save_clip(clip, "world:clip", state, place)])
def test_loading_from_afar_leaves_no_copy_and_what_was_loaded_can_be_saved(tmp_path, object_store, monkeypatch, save):
    clip, place = load_clip("world:clip"), object_store.create_bucket("afar") + "/model"
    save(clip, clip.model.state_dict(), str(tmp_path / "here"))
    storage.upload_folder(tmp_path / "here", place)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    loaded = load_clip(place)
    assert list(scratch.iterdir()) == []
    save_clip(loaded, place, loaded.model.state_dict(), str(tmp_path / "again"))
    state = load_clip(str(tmp_path / "again")).model.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in clip.model.state_dict().items())
