import numpy as np
import pytest
import torch

from cfray.errors import UserError
from cfray.groups.clusters import InferredGroups
from cfray.groups.inputs import Inputs, count_cells, require_filled


def groups_of(ids):
    ids = np.array(ids)
    return InferredGroups(ids, np.eye(2)[ids], ("w", "m"))


def test_cells_are_counted_and_an_empty_one_is_told(capsys):
    counts = count_cells(groups_of([0, 1, 0, 0]), np.array([0, 0, 1, 1]), ["nurse", "pilot"])
    assert counts == {"nurse": {"w": 1, "m": 1}, "pilot": {"w": 2, "m": 0}}
    assert "warning: class 'pilot' has no training sample of group 'm'" in capsys.readouterr().out


def test_full_cells_warn_of_nothing(capsys):
    count_cells(groups_of([0, 1, 0, 1]), np.array([0, 0, 1, 1]), ["nurse", "pilot"])
    assert capsys.readouterr().out == ""


def test_an_empty_cell_of_the_test_samples_is_refused():
    with pytest.raises(UserError, match="class 'b' has no test sample of group 'm'; add one"):
        require_filled(np.array([0, 0, 1]), np.array([0, 1, 0]), ["a", "b"], ["w", "m"])
    with pytest.raises(UserError, match="all test samples are in one group, 'w'"):
        require_filled(np.array([0, 1]), np.array([0, 0]), ["a", "b"], ["w"])


def test_inputs_are_read_as_they_were_written(tmp_path):
    inputs = Inputs(labels={"train": torch.tensor([0, 1])}, groups={"inferred": {"train": torch.tensor([1, 0])}})
    inputs.save(str(tmp_path / "inputs.safetensors"))
    again = Inputs.load(str(tmp_path / "inputs.safetensors"))
    assert again.groups["inferred"]["train"].tolist() == [1, 0]
    assert again.labels["train"].tolist() == [0, 1]
    assert again.features == {}
    assert len(again.extra_labels) == 0
