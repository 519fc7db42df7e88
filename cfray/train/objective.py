"""L: the terms of the loss and their weighted sum, from the features of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from cfray.train.batches import Batch
from cfray.train.config import LossConfig, TrainConfig
from cfray.train.grad_cache import Features
from cfray.train.losses import anchor_loss, clip_loss, counterfactual_loss, gather_with_gradient, sigmoid_clip_loss
from cfray.train.tiled_losses import tiled_clip_loss, tiled_counterfactual_loss


@dataclass(frozen=True)
class Read:
    """Which outputs of ``Towers`` the loss reads besides the image features, which every loss does."""

    texts: bool
    scale: bool
    bias: bool


def what_is_read(config: TrainConfig) -> Read:
    """Which outputs the terms of ``loss_terms`` read; the weights behind the others have no gradient."""
    contrasts = config.loss.beta_clip > 0 or any(entry.form == "pairs" for entry in config.rehearsal)
    return Read(
        texts=contrasts or config.loss.anchor_text > 0,
        scale=contrasts,
        bias=contrasts and config.loss.clip_form == "sigmoid",
    )


def loss_terms(config: TrainConfig, features: Features, batch: Batch) -> dict[str, torch.Tensor]:
    """The terms of L whose weight is not 0, ``loss``, ``logit_scale``, ``sibling_cosine`` (mean cosine of images of a set).

    A new term is one more ``terms[name]`` and one more entry of ``weights``; ``what_is_read`` must know what it reads.

    Args:
        features: the outputs of ``Towers`` for the images and ids of ``batch``, of this worker.
    """
    loss, per_set, sets = config.loss, config.images_per_set, batch.sets
    image_features, text_features, scale, bias = features
    images, *rehearsed = image_features.split([sets * per_set, *(part.count for part in batch.rehearsed)])
    anchored = 0 if batch.anchor_texts is None else len(batch.anchor_texts)
    captioned = [0 if part.captions is None else part.count for part in batch.rehearsed]
    texts, anchors, *rehearsed_texts = text_features.split([sets, anchored, *captioned])
    terms, weights = {}, {}
    if loss.beta_clip:
        terms["clip_loss"] = _clip_loss(loss, images, texts, batch.captions, scale, bias)
        weights["clip_loss"] = loss.beta_clip
    if loss.beta_cf:
        terms["counterfactual_loss"] = _counterfactual_loss(loss, images, per_set)
        weights["counterfactual_loss"] = loss.beta_cf
    if batch.anchor_texts is not None:
        terms["anchor_text_loss"] = anchor_loss(anchors, batch.anchor_texts)
        weights["anchor_text_loss"] = loss.anchor_text
    if batch.anchor_images is not None:
        means = F.normalize(images.view(sets, per_set, -1).mean(dim=1), dim=-1)
        terms["anchor_image_loss"] = anchor_loss(means, batch.anchor_images)
        weights["anchor_image_loss"] = loss.anchor_image
    parts = zip(config.rehearsal, batch.rehearsed, rehearsed, rehearsed_texts, strict=True)
    for number, (entry, part, pictures, captions) in enumerate(parts, start=1):
        name = f"rehearsal_{number}_loss"
        if part.held is not None:
            terms[name] = anchor_loss(pictures, part.held)
        else:
            terms[name] = _clip_loss(loss, pictures, captions, part.captions, scale, bias)
        weights[name] = entry.weight
    terms["loss"] = sum(weight * terms[name] for name, weight in weights.items())
    if per_set > 1:
        terms["sibling_cosine"] = 1 - counterfactual_loss(images.detach(), per_set, form="cosine")
    terms["logit_scale"] = scale.detach()
    return terms


def _clip_loss(loss: LossConfig, images, texts, captions, scale, bias) -> torch.Tensor:
    if loss.tile is not None:
        return tiled_clip_loss(
            images, texts, captions, scale, bias, tile=loss.tile, form=loss.clip_form, targets=loss.clip_targets
        )
    images, texts = gather_with_gradient(images), gather_with_gradient(texts)
    if loss.clip_form == "sigmoid":
        return sigmoid_clip_loss(images, texts, captions, scale, bias, targets=loss.clip_targets)
    return clip_loss(images, texts, captions, scale, targets=loss.clip_targets)


def _counterfactual_loss(loss: LossConfig, images, per_set: int) -> torch.Tensor:
    # The cosine form compares within sets only, and those are whole on each worker.
    if loss.form == "cosine":
        return counterfactual_loss(images, per_set, form="cosine")
    if loss.tile is not None:
        return tiled_counterfactual_loss(images, per_set, tile=loss.tile, form=loss.form, temperature=loss.temperature)
    return counterfactual_loss(gather_with_gradient(images), per_set, form=loss.form, temperature=loss.temperature)
