from pathlib import Path

import pytest

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
