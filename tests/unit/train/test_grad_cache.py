import copy

import pytest
import torch
from torch import nn

from cfray.clip.model import load_clip
from cfray.train.batches import Batch
from cfray.train.config import ComputeConfig, TrainConfig
from cfray.train.grad_cache import backward_in_chunks
from cfray.train.objective import loss_terms
from cfray.train.towers import Towers

SETS, PER_SET = 6, 2
CONFIG = TrainConfig(output="", data="", model="world:clip", images_per_set=PER_SET)


@pytest.fixture(scope="module")
def towers():
    return Towers(load_clip("world:clip").model, ComputeConfig())


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(0)
    names = ("doctor", "chef", "cat", "car", "tree", "boat")
    ids = load_clip("world:clip").tokenize([f"a photo of a {name}" for name in names])
    return Batch(SETS, torch.randn(SETS * PER_SET, 3, 64, 64, generator=generator), ids, torch.arange(SETS))


class Dropping(nn.Module):
    """The towers with dropout on their pictures and features."""

    def __init__(self, towers: Towers):
        super().__init__()
        self.towers = towers

    def forward(self, images, ids):
        images, texts, scale, bias = self.towers(nn.functional.dropout(images, 0.3), ids)
        return nn.functional.dropout(images, 0.3), nn.functional.dropout(texts, 0.3), scale, bias


def gradients(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def cached(model, batch, chunks, seed=1):
    model = copy.deepcopy(model)
    torch.manual_seed(seed)
    terms = backward_in_chunks(model, batch.images, batch.ids, lambda f: loss_terms(CONFIG, f, batch), chunks=chunks)
    return terms, gradients(model)


@pytest.mark.parametrize("chunks", [2, 4, 6])
def test_the_gradient_is_that_of_the_big_batch(towers, batch, chunks):
    whole = copy.deepcopy(towers)
    reference = loss_terms(CONFIG, whole(batch.images, batch.ids), batch)
    reference["loss"].backward()
    terms, gradient = cached(towers, batch, chunks)
    assert terms["loss"].item() == pytest.approx(reference["loss"].item(), rel=1e-6)
    assert (gradient - gradients(whole)).norm() <= 1e-5 * gradients(whole).norm()


def test_with_dropout_it_is_that_of_the_big_batch_under_the_same_masks(towers, batch):
    # The big batch, embedded piece by piece with all graphs held at once: the masks are drawn in the same order.
    whole = Dropping(copy.deepcopy(towers))
    torch.manual_seed(1)
    parts = [whole(*piece) for piece in zip(batch.images.tensor_split(3), batch.ids.tensor_split(3), strict=True)]
    features = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts]), *parts[0][2:]
    loss_terms(CONFIG, features, batch)["loss"].backward()
    _, gradient = cached(Dropping(towers), batch, 3)
    assert (gradient - gradients(whole)).norm() <= 1e-5 * gradients(whole).norm()
    _, other_masks = cached(Dropping(towers), batch, 3, seed=2)
    assert (other_masks - gradients(whole)).norm() > 0.01 * gradients(whole).norm()


def test_random_numbers_go_on_as_after_one_pass(towers, batch):
    torch.manual_seed(1)
    backward_in_chunks(
        Dropping(copy.deepcopy(towers)), batch.images, batch.ids, lambda f: loss_terms(CONFIG, f, batch), chunks=3
    )
    after = torch.rand(4)
    torch.manual_seed(1)
    with torch.no_grad():
        for piece in zip(batch.images.tensor_split(3), batch.ids.tensor_split(3), strict=True):
            Dropping(towers)(*piece)
    assert torch.equal(torch.rand(4), after)
