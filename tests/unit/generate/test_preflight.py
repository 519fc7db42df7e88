import pytest
import torch
from safetensors.torch import save

from cfray.errors import UserError
from cfray.generate.config import ModelConfig
from cfray.generate.preflight import MODEL, require_readable

WHOLE = save({"a": torch.ones(3, 4), "b": torch.ones(2)})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "model.safetensors").write_bytes(WHOLE)
    return tmp_path


def test_whole_weights_pass(folder):
    require_readable(ModelConfig(model=str(folder)), MODEL)


@pytest.mark.parametrize(
    "content", [b"", b"no weights", WHOLE[:40], WHOLE[:-1], WHOLE + b"\0", b"\xff" * 8 + WHOLE[8:]],
    ids=["empty", "text", "cut in the header", "cut at the end", "too long", "absurd header"],
)  # fmt: skip
def test_weights_that_are_damaged_are_refused_in_one_line_that_names_the_file(folder, content):
    file = folder / "unet" / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        require_readable(ModelConfig(model=str(folder)), MODEL)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
