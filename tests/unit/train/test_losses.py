import math

import open_clip
import pytest
import torch
from torch.nn import functional as F

from cfray.train.losses import anchor_loss, clip_loss, counterfactual_loss


def features(rows: int, width: int = 16, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=1)


@pytest.mark.parametrize("targets", ["multi_positive", "one_per_set", "plain"])
def test_one_image_per_set_is_open_clips_loss(targets):
    images, texts, scale = features(12), features(12, seed=1), torch.tensor(14.3, dtype=torch.float64)
    expected = open_clip.ClipLoss()(images, texts, scale)
    assert clip_loss(images, texts, torch.arange(12), scale, targets=targets).item() == pytest.approx(expected.item(), rel=1e-6)


def test_plain_is_open_clips_loss_over_copied_captions():
    images, texts, scale = features(12), features(4, seed=1), torch.tensor(10.0, dtype=torch.float64)
    expected = open_clip.ClipLoss()(images, texts.repeat_interleave(3, dim=0), scale)
    assert clip_loss(images, texts, torch.arange(4), scale, targets="plain").item() == pytest.approx(expected.item(), rel=1e-6)


def test_multi_positive_by_hand():
    # Two sets of two images on the axes; scale 1. Image to text: -log(e/(e+1)). Text to image: each text has its two
    # images at cosine 1 and the others at 0, so every positive has the probability e/(2e+2).
    images = torch.eye(2, dtype=torch.float64).repeat_interleave(2, dim=0)
    texts = torch.eye(2, dtype=torch.float64)
    loss = clip_loss(images, texts, torch.arange(2), torch.tensor(1.0, dtype=torch.float64))
    e = math.e
    assert loss.item() == pytest.approx((-math.log(e / (e + 1)) - math.log(e / (2 * e + 2))) / 2)


def test_sets_with_one_caption_are_positives_of_each_other():
    images, texts = features(8), features(4, seed=1)
    texts[1] = texts[0]
    captions, scale = torch.tensor([0, 0, 2, 3]), torch.tensor(5.0, dtype=torch.float64)
    to_text = (scale * images @ texts.T).log_softmax(dim=1)
    to_image = (scale * texts @ images.T).log_softmax(dim=1)
    positives = {0: [0, 1], 1: [0, 1], 2: [2], 3: [3]}
    image_side = -sum(to_text[i, positives[i // 2]].mean() for i in range(8)) / 8
    text_side = -sum(torch.cat([to_image[t, [2 * s, 2 * s + 1]] for s in positives[t]]).mean() for t in range(4)) / 4
    assert clip_loss(images, texts, captions, scale).item() == pytest.approx(((image_side + text_side) / 2).item())


def test_supcon_against_a_loop():
    images, per_set, temperature = features(9), 3, 0.2
    total = 0.0
    for i in range(9):
        others = [j for j in range(9) if j != i]
        denominator = torch.logsumexp(torch.stack([images[i] @ images[j] / temperature for j in others]), dim=0)
        siblings = [j for j in others if j // per_set == i // per_set]
        total += -sum((images[i] @ images[j] / temperature - denominator).item() for j in siblings) / len(siblings)
    loss = counterfactual_loss(images, per_set, form="supcon", temperature=temperature)
    assert loss.item() == pytest.approx(total / 9)


def test_infonce_is_symmetric_cross_entropy_of_two_variants():
    images = features(8)
    logits = images[::4] @ images[1::4].T / 0.5
    targets = torch.arange(2)
    expected = (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2
    assert counterfactual_loss(images, 4, form="infonce", temperature=0.5).item() == pytest.approx(expected.item())


def test_cosine_is_the_mean_over_pairs():
    images = features(6)
    pairs = [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)]
    expected = sum(1 - (images[i] @ images[j]).item() for i, j in pairs) / len(pairs)
    assert counterfactual_loss(images, 3, form="cosine").item() == pytest.approx(expected)


@pytest.mark.parametrize("form", ["supcon", "infonce", "cosine"])
def test_collapsed_sets_are_better_than_spread_ones(form):
    spread = features(16)
    collapsed = features(4, seed=3).repeat_interleave(4, dim=0)
    assert counterfactual_loss(collapsed, 4, form=form) < counterfactual_loss(spread, 4, form=form)


def test_anchor_is_zero_at_the_original_and_two_at_its_opposite():
    texts = features(5)
    assert anchor_loss(texts, texts).item() == pytest.approx(0)
    assert anchor_loss(texts, -texts).item() == pytest.approx(2)


def test_errors_name_the_value():
    images, texts, scale = features(4), features(2, seed=1), torch.tensor(1.0)
    with pytest.raises(ValueError, match="targets='each'"):
        clip_loss(images, texts, torch.arange(2), scale, targets="each")
    with pytest.raises(ValueError, match="form='triplet'"):
        counterfactual_loss(images, 2, form="triplet")
    with pytest.raises(ValueError, match="images_per_set=1"):
        counterfactual_loss(images, 1)
