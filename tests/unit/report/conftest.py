from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLE = runpy.run_path(str(Path(__file__).with_name("example.py")))


@pytest.fixture
def result() -> dict:
    return EXAMPLE["example_result"]()


@pytest.fixture
def gallery() -> list:
    return EXAMPLE["example_gallery"]()


@pytest.fixture
def png():
    return EXAMPLE["png"]
