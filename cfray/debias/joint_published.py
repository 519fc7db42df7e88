"""Fits the published form of joint debiasing (arXiv 2411.12785) on cached embeddings."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from cfray.clip.debiasers import PublishedJoint
from cfray.debias.config import PublishedForm
from cfray.debias.data import DebiasData
from cfray.debias.joint_losses import (
    Keys,
    alignment_loss,
    bias_vectors,
    image_cross_entropy,
    mean_image,
    mean_text,
    text_cross_entropy,
)
from cfray.debias.queue import PairQueue
from cfray.errors import UserError


def require_batch(config: PublishedForm, pictures: int) -> None:
    """UserError if there are fewer pictures than a batch."""
    if config.batch > pictures:
        raise UserError(f"published.batch={config.batch} is larger than the {pictures} training pictures; lower it")


@dataclass
class Batch:
    """One batch: rows of the training set, the captions its texts are taken from, the images its images are taken from."""

    rows: torch.Tensor
    captions: torch.Tensor
    """(n,) row of ``data.captions``: the pair's own or a twin of it."""
    images: torch.Tensor
    """(n,) row of ``data.images``: the pair's own or a counterfactual of it."""


class PublishedFit:
    """The state of a fit: network, momentum copy, queue, optimiser. ``losses`` and ``step`` are one step of it."""

    def __init__(self, data: DebiasData, config: PublishedForm):
        require_batch(config, len(data.images))
        self.data, self.config = data, config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.debiaser = PublishedJoint(
                data.weights, dim=data.images.shape[1], hidden_image=config.hidden_image, hidden=config.hidden, sign=config.sign
            )
        self.average = copy.deepcopy(self.debiaser).requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.debiaser.parameters(), lr=config.learning_rate)
        self.queue = PairQueue(config.queue, len(data.images))
        self.generator = torch.Generator().manual_seed(config.seed)
        self._dtype = getattr(torch, config.dtype)
        self._images = F.normalize(data.images, dim=-1).to(self._dtype)
        self._captions = F.normalize(data.captions, dim=-1)

    def batches(self) -> list[Batch]:
        """One epoch: every pair once, in a new order, with its twins drawn anew."""
        order = torch.randperm(len(self.data.images), generator=self.generator)
        return [self._draw(rows) for rows in order.split(self.config.batch)]

    def _draw(self, rows: torch.Tensor) -> Batch:
        captions, images = self.data.caption_of[rows], rows
        twins = self.data.twins[captions]
        drawn = torch.randint(twins.shape[1], (len(rows),), generator=self.generator)
        captions = torch.where(self._coin(len(rows)), twins[torch.arange(len(rows)), drawn], captions)
        if self.data.sets is not None and self.config.image_counterfactuals:
            images = torch.where(self._coin(len(rows)), self._siblings(rows), rows)
        return Batch(rows, captions, images)

    def _coin(self, n: int) -> torch.Tensor:
        return torch.rand(n, generator=self.generator) < self.config.swap

    def _siblings(self, rows: torch.Tensor) -> torch.Tensor:
        """For each row another image of its set, drawn evenly; the row itself if it is alone."""
        same = self.data.sets[rows][:, None] == self.data.sets[None, :]
        same[torch.arange(len(rows)), rows] = False
        same[torch.arange(len(rows)), rows] |= ~same.any(dim=1)
        return torch.multinomial(same.float(), 1, generator=self.generator).squeeze(1)

    def losses(self, batch: Batch, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """L_ba and L_cd of a batch against batch and queue; a term with weight 0 is 0."""
        config, data, tau = self.config, self.data, self.config.temperature
        keys = Keys.of(self._images, self._captions, data.caption_of, self.queue.with_batch(batch.rows), self._dtype)
        own = data.caption_of[batch.rows]
        used, place = torch.unique(torch.cat([own, batch.captions]), return_inverse=True)
        texts, debiased_texts = data.captions[used], self.debiaser.text(data.captions[used])
        own, shown = place[: len(own)], place[len(own) :]
        alignment = counterfactual = torch.zeros(())
        if config.alignment:
            images = data.images[batch.rows]
            image_bias = bias_vectors(images, self.debiaser.image(images))
            text_bias = bias_vectors(texts, debiased_texts)[own]
            alignment = alignment_loss(text_bias, image_bias, keys, temperature=tau, tile=config.tile)
        if config.counterfactual:
            text_target, image_target = self._targets(batch.rows, texts, keys, epoch)
            shown_images = F.normalize(self.debiaser.image(data.images[batch.images]), dim=-1)
            per_text = image_cross_entropy_of(
                F.normalize(debiased_texts, dim=-1), shown, image_target[own], keys, tau, config.tile
            )
            per_image = text_cross_entropy(shown_images, text_target, keys, temperature=tau)
            counterfactual = (per_text.mean() + per_image.mean()) / 2
        return alignment, counterfactual

    @torch.no_grad()
    def _targets(self, rows: torch.Tensor, texts: torch.Tensor, keys: Keys, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean text of each image's target (n, d) and mean image of each text's target (u, d)."""
        config, tau = self.config, self.config.temperature
        images = self.data.images[rows]
        text_target = mean_text(F.normalize(images, dim=-1), keys, temperature=tau)
        image_target = mean_image(F.normalize(texts, dim=-1), keys, temperature=tau, tile=config.tile)
        if epoch >= config.momentum_from_epoch and config.momentum_share:
            averaged_images = F.normalize(self.average.image(images), dim=-1)
            averaged_texts = F.normalize(self.average.text(texts), dim=-1)
            text_target = text_target.lerp(mean_text(averaged_images, keys, temperature=tau), config.momentum_share)
            averaged = mean_image(averaged_texts, keys, temperature=tau, tile=config.tile)
            image_target = image_target.lerp(averaged, config.momentum_share)
        return text_target, image_target

    def step(self, batch: Batch, epoch: int) -> tuple[float, float]:
        """One update of network, momentum copy and queue; returns L_ba and L_cd."""
        alignment, counterfactual = self.losses(batch, epoch)
        loss = self.config.alignment * alignment + self.config.counterfactual * counterfactual
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.debiaser.parameters(), strict=True):
                mean.lerp_(value, 1 - self.config.momentum)
        self.queue.push(batch.rows)
        return alignment.item(), counterfactual.item()


def image_cross_entropy_of(
    texts: torch.Tensor, shown: torch.Tensor, targets: torch.Tensor, keys: Keys, temperature: float, tile: int
) -> torch.Tensor:
    """``image_cross_entropy`` of samples (n,) that share texts (u, d): sample i shows text ``shown[i]``."""
    no_target = torch.zeros_like(texts)
    normaliser = image_cross_entropy(texts, no_target, keys, temperature=temperature, tile=tile)
    return normaliser[shown] - (texts[shown] * targets).sum(dim=1) / temperature


def fit_published(
    data: DebiasData, config: PublishedForm, score: Callable[[PublishedJoint], float] | None = None
) -> PublishedJoint:
    """Fit as published: Adam, shuffled epochs, the state with the best score kept.

    Args:
        data: labelled images, captions and twins; ``sets``, where there are any, give images their counterfactuals.
        config: the numbers of the fit; the defaults are the published ones.
        score: validation ABLE of a state, asked every ``validate_every`` epochs; after ``patience`` times without gain
            the fit stops. None keeps the last state.

    Raises:
        UserError: if there are fewer pictures than a batch.
    """
    fit = PublishedFit(data, config)
    best, kept, waited = float("-inf"), None, 0
    for epoch in range(config.epochs):
        for batch in fit.batches():
            fit.step(batch, epoch)
        if score is None or (epoch + 1) % config.validate_every:
            continue
        value = score(fit.debiaser)
        waited = 0 if value > best else waited + 1
        if value > best:
            best, kept = value, copy.deepcopy(fit.debiaser.state_dict())
        if waited >= config.patience:
            break
    if kept is not None:
        fit.debiaser.load_state_dict(kept)
    return fit.debiaser.eval()
