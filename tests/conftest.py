"""Two torch processes with two threads each on two cores are several times slower than with one each."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory) -> dict[str, str]:
    """Folders of tiny random checkpoints of production's architectures, by name."""
    from tests import checkpoints as tiny  # diffusers takes seconds to import, and most tests do without

    root = tmp_path_factory.mktemp("checkpoints")
    return {
        "sdxl": tiny.save_sdxl(root / "sdxl"),
        "sdxl-inpaint": tiny.save_sdxl(root / "sdxl-inpaint", inpainting=True),
        "parser": tiny.save_segformer(root / "parser"),
        "parser-face": tiny.save_segformer(root / "parser-face", favour="Face"),
        "parser-background": tiny.save_segformer(root / "parser-background", favour="Background"),
        "ade": tiny.save_segformer(root / "ade", labels=("wall", "person", "car"), favour="person"),
        "llama": tiny.save_llama(root / "llama"),
        "safety-flags": tiny.save_safety_checker(root / "safety-flags", flags=True),
        "safety-passes": tiny.save_safety_checker(root / "safety-passes", flags=False),
    }
