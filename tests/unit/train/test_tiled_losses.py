import pytest
import torch
from open_clip.loss import SigLipLoss
from torch.nn import functional as F

from cfray.train.losses import clip_loss, counterfactual_loss, sigmoid_clip_loss
from cfray.train.tiled_losses import tiled_clip_loss, tiled_counterfactual_loss

SETS, PER_SET, WIDTH = 9, 3, 16
CAPTIONS = torch.tensor([0, 1, 2, 1, 4, 5, 0, 7, 8])  # some captions belong to several sets


def inputs(dtype) -> list[torch.Tensor]:
    """Images, texts, scale and bias, each a leaf."""
    generator = torch.Generator().manual_seed(0)
    images, texts = (F.normalize(torch.randn(n, WIDTH, generator=generator, dtype=torch.float64), dim=1) for n in (27, 9))
    values = [images, texts, torch.tensor(12.0), torch.tensor(-6.0)]
    return [value.to(dtype).requires_grad_() for value in values]


def value_and_gradients(loss_of, dtype) -> list[torch.Tensor]:
    leaves = inputs(dtype)
    loss = loss_of(*leaves)
    loss.backward()
    return [loss.detach(), *(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves)]


def assert_same(tiled, dense, dtype, relative):
    for ours, reference in zip(value_and_gradients(tiled, dtype), value_and_gradients(dense, torch.float64), strict=True):
        apart = (ours.double() - reference).norm()
        assert apart <= relative * reference.norm() + 1e-12, f"{apart / reference.norm():.1e}"


PRECISIONS = pytest.mark.parametrize(("dtype", "relative"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])


@PRECISIONS
@pytest.mark.parametrize("tile", [1, 4, 7, 100])
@pytest.mark.parametrize("targets", ["multi_positive", "one_per_set", "plain"])
@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
def test_tiled_clip_loss_is_the_dense_one(dtype, relative, tile, targets, form):
    def dense(images, texts, scale, bias):
        if form == "sigmoid":
            return sigmoid_clip_loss(images, texts, CAPTIONS, scale, bias, targets=targets)
        return clip_loss(images, texts, CAPTIONS, scale, targets=targets)

    def tiled(images, texts, scale, bias):
        return tiled_clip_loss(images, texts, CAPTIONS, scale, bias, tile=tile, form=form, targets=targets)

    assert_same(tiled, dense, dtype, relative)


@PRECISIONS
@pytest.mark.parametrize("tile", [1, 4, 7, 100])
@pytest.mark.parametrize("form", ["supcon", "infonce"])
def test_tiled_counterfactual_loss_is_the_dense_one(dtype, relative, tile, form):
    def dense(images, *_):
        return counterfactual_loss(images, PER_SET, form=form, temperature=0.07)

    def tiled(images, *_):
        return tiled_counterfactual_loss(images, PER_SET, tile=tile, form=form, temperature=0.07)

    assert_same(tiled, dense, dtype, relative)


def test_sigmoid_loss_is_open_clips():
    images, texts, scale, bias = inputs(torch.float64)
    expected = SigLipLoss()(images[:9], texts, scale, bias)
    ours = sigmoid_clip_loss(images[:9], texts, torch.arange(9), scale, bias)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-6)


def test_sigmoid_loss_by_hand():
    # Two sets of one image on the axes, scale 2, bias -1: a pair is at logit 1, the others at -1, so each of the four
    # terms is log(1 + e^-1); over two images that makes twice that.
    axes = torch.eye(2, dtype=torch.float64)
    loss = sigmoid_clip_loss(axes, axes, torch.arange(2), torch.tensor(2.0), torch.tensor(-1.0))
    assert loss.item() == pytest.approx(2 * torch.log1p(torch.exp(torch.tensor(-1.0, dtype=torch.float64))).item())


def test_large_similarities_do_not_overflow():
    images, texts, _, _ = inputs(torch.float32)
    loss = tiled_clip_loss(images, texts, CAPTIONS, torch.tensor(1e4), tile=4)
    loss.backward()
    assert loss.isfinite() and images.grad.isfinite().all()
