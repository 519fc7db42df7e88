from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save

from cfray.config import build_config
from cfray.errors import UserError
from cfray.generate.config import GenerateConfig, ModelConfig
from cfray.generate.preflight import MODEL, models_of, require_readable

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


def test_a_lora_is_looked_at_like_any_model(folder):
    """Its files have any name, so a folder of weights alone is one."""
    (folder / "config.json").unlink()
    recipe = yaml.safe_load((Path(__file__).parents[3] / "jobs/configs/demo.yaml").read_text())["generate"]
    recipe["base"] |= {"lora": {"model": str(folder)}}
    config = build_config(GenerateConfig, recipe | {"output": "out"})
    ours = [(model, file) for model, file in models_of(config) if model.model == str(folder)]
    assert [file for _, file in ours] == [None]
    require_readable(*ours[0])
    (folder / "unet" / "model.safetensors").write_bytes(WHOLE[:-1])
    with pytest.raises(UserError, match="are damaged"):
        require_readable(*ours[0])
    with pytest.raises(UserError, match="has no few.safetensors"):
        require_readable(ours[0][0], "few.safetensors")
