"""Where the models of the embedded world lie."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cfray
from cfray.errors import UserError
from cfray.world.models import model_path, weights_folder


def test_an_uploaded_working_folder_is_served_by_the_installed_package(tmp_path):
    """A job's working folder comes before the installed package, and has no weights (.rayignore)."""
    shutil.copytree(Path(cfray.__file__).parent, tmp_path / "cfray", ignore=shutil.ignore_patterns("weights", "__pycache__"))
    ask = "from cfray.world import models; print(models.__file__); print(models.model_path('world:clip'))"
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", ask], cwd=tmp_path, env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    module, folder = done.stdout.splitlines()
    assert Path(module).is_relative_to(tmp_path)
    assert Path(folder) == weights_folder() / "clip"


def test_a_world_model_that_is_not_there_is_named():
    with pytest.raises(UserError, match="'world:clop' is not in the embedded world; it has world:text-to-image, "):
        model_path("world:clop")
    with pytest.raises(UserError, match="model folder '/nowhere/model' not found"):
        model_path("/nowhere/model")
    assert model_path("ViT-B-16") == "ViT-B-16"
