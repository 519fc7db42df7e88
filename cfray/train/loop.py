"""The training loop that every Ray Train worker runs."""

from __future__ import annotations

import json
import logging
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import ray.train
import ray.train.torch
import torch
from torch import nn
from torch.nn import functional as F

from cfray import storage
from cfray.clip.embed import embed_images, embed_texts
from cfray.clip.model import ClipModel, load_clip, save_clip
from cfray.concepts.concepts import Concept
from cfray.dataset.reader import TrainingSets
from cfray.train.config import TrainConfig
from cfray.train.losses import anchor_loss, clip_loss, counterfactual_loss, gather_with_gradient
from cfray.train.rehearsal import Rehearsal
from cfray.train.sampler import SetSampler

STATE_FILE = "state.pt"


class Towers(nn.Module):
    """Both towers in one forward, as DDP wants it: normalised image features, text features and the logit scale."""

    def __init__(self, clip: nn.Module):
        super().__init__()
        self.clip = clip

    def forward(self, images: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        images = F.normalize(self.clip.encode_image(images).float(), dim=-1)
        texts = F.normalize(self.clip.encode_text(ids).float(), dim=-1)
        return images, texts, self.clip.logit_scale.exp()


def train_worker(arguments: dict[str, Any]) -> None:
    """Fine-tune on this worker's share of every batch and report metrics and checkpoints to Ray Train."""
    config = TrainConfig.model_validate(arguments)
    context = ray.train.get_context()
    rank, workers = context.get_world_rank(), context.get_world_size()
    if config.gpus_per_worker == 0:
        torch.set_num_threads(max(1, int(config.cpus_per_worker)))
    torch.manual_seed(config.seed)
    logging.getLogger().setLevel(logging.WARNING)  # open_clip tells every step of loading at INFO
    clip = load_clip(config.model)
    sets = TrainingSets(config.data, config.images_per_set, clip.preprocess, zoom_share=config.zoom_share)
    sampler = SetSampler(len(sets), config.sets_per_batch, rank, workers, config.seed)
    batches = Batches(config, clip, sets, sampler, _rehearsal(config, clip, rank, workers))
    choose_trainable(clip.model, config)
    model = ray.train.torch.prepare_model(
        Towers(clip.model), parallel_strategy_kwargs={"find_unused_parameters": config.loss.beta_clip == 0}
    )
    optimizer = torch.optim.AdamW(
        parameter_groups(clip.model, config.weight_decay), lr=config.learning_rate, betas=(0.9, 0.98), eps=1e-6
    )
    first, curve = _resume(clip.model, optimizer)
    if first == 0:
        with torch.no_grad():
            model.eval()
            curve.append({"step": 0, **_as_numbers(batches.losses(model, 0))})
    model.train()
    seen: list[dict[str, float]] = []
    for step in range(first, config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * schedule(step, config.steps, config.warmup)
        terms = batches.losses(model, step)
        optimizer.zero_grad(set_to_none=True)
        terms["loss"].backward()
        norm = nn.utils.clip_grad_norm_(clip.model.parameters(), config.clip_gradient)
        optimizer.step()
        with torch.no_grad():
            # As in CLIP: a scale over 100 makes training unstable.
            clip.model.logit_scale.clamp_(0, math.log(100))
        seen.append(_as_numbers(terms) | {"gradient_norm": float(norm)})
        if (step + 1) % config.checkpoint_every == 0 or step + 1 == config.steps:
            means = {key: sum(row[key] for row in seen) / len(seen) for key in seen[0]}
            seen.clear()
            curve.append({"step": step + 1, **means})
            _report(curve, clip, config, optimizer, rank)


class Batches:
    """The loss terms of a step: this worker's sets, gathered with those of the others."""

    def __init__(
        self, config: TrainConfig, clip: ClipModel, sets: TrainingSets, sampler: SetSampler, rehearsal: Rehearsal | None
    ):
        self._config, self._clip, self._sets, self._sampler, self._rehearsal = config, clip, sets, sampler, rehearsal
        self._device = ray.train.torch.get_device()
        self._anchor_texts = self._anchor_images = None
        if config.loss.anchor_text:
            # The captions that name appearance: what pulling counterfactuals together would forget first.
            prompts = sorted(set(sets.prompts))
            self._anchor_texts = (clip.tokenize(prompts), embed_texts(clip, prompts))
        if config.loss.anchor_image:
            means = [embed_images(clip, sets.whole(index)).mean(dim=0) for index in range(len(sets))]
            self._anchor_images = F.normalize(torch.stack(means), dim=-1)

    def losses(self, model: nn.Module, step: int) -> dict[str, torch.Tensor]:
        """All terms of L at ``step`` and ``sibling_cosine``, the mean cosine between images of one set."""
        loss, per_set, indices = self._config.loss, self._config.images_per_set, self._sampler.batch(step)
        images = torch.cat([self._sets.draw(index, self._sampler.generator(step, index)) for index in indices]).to(self._device)
        ids = self._clip.tokenize([self._caption(step, index) for index in indices])
        anchor_ids, original = self._anchor_batch(step, len(indices))
        count = len(images)
        if self._rehearsal is not None:
            ordinary, held = self._rehearsal.draw(step)
            images = torch.cat([images, ordinary.to(self._device)])
        image_features, text_features, scale = model(images, torch.cat([ids, anchor_ids]).to(self._device))
        image_features, rehearsed = image_features[:count], image_features[count:]
        texts, anchored = text_features[: len(ids)], text_features[len(ids) :]
        all_images, all_texts = gather_with_gradient(image_features), gather_with_gradient(texts)
        terms = {
            "clip_loss": clip_loss(all_images, all_texts, self._caption_numbers(step), scale, targets=loss.clip_targets),
            "counterfactual_loss": counterfactual_loss(all_images, per_set, form=loss.form, temperature=loss.temperature),
        }
        terms["loss"] = loss.beta_clip * terms["clip_loss"] + loss.beta_cf * terms["counterfactual_loss"]
        if len(anchored):
            terms["anchor_text_loss"] = anchor_loss(anchored, original.to(self._device))
            terms["loss"] = terms["loss"] + loss.anchor_text * terms["anchor_text_loss"]
        if self._anchor_images is not None:
            means = F.normalize(image_features.view(len(indices), per_set, -1).mean(dim=1), dim=-1)
            terms["anchor_image_loss"] = anchor_loss(means, self._anchor_images[indices].to(self._device))
            terms["loss"] = terms["loss"] + loss.anchor_image * terms["anchor_image_loss"]
        if self._rehearsal is not None:
            terms["rehearsal_loss"] = anchor_loss(rehearsed, held.to(self._device))
            terms["loss"] = terms["loss"] + self._config.rehearsal.weight * terms["rehearsal_loss"]
        terms["sibling_cosine"] = 1 - counterfactual_loss(all_images.detach(), per_set, form="cosine")
        terms["logit_scale"] = scale.detach()
        return terms

    def _caption(self, step: int, index: int) -> str:
        """The caption of set ``index`` at ``step``: its own, or the bare one that search prompts look like."""
        # Not the generator of the draw: the caption must be known to every worker, the images only to one.
        if np.random.default_rng((self._config.seed, step, index, 1)).random() < self._config.bare_caption_share:
            return f"a photo of {Concept(self._sets.concepts[index]).with_article}"
        return self._sets.captions[index]

    def _caption_numbers(self, step: int) -> torch.Tensor:
        """Numbers of all workers' captions at ``step``, equal where the texts are, int64 (S,)."""
        captions = [self._caption(step, index) for index in self._sampler.whole_batch(step)]
        numbers = {caption: number for number, caption in enumerate(dict.fromkeys(captions))}
        return torch.tensor([numbers[caption] for caption in captions], device=self._device)

    def _anchor_batch(self, step: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        if self._anchor_texts is None:
            return torch.empty(0, self._clip.tokenize([""]).shape[1], dtype=torch.long), torch.empty(0)
        ids, original = self._anchor_texts
        chosen = torch.randint(len(ids), (count,), generator=torch.Generator().manual_seed(step))
        return ids[chosen], original[chosen]


def _rehearsal(config: TrainConfig, clip: ClipModel, rank: int, workers: int) -> Rehearsal | None:
    if config.rehearsal is None:
        return None
    per_step = config.rehearsal.images_per_step
    return Rehearsal(config.rehearsal.data, clip, images_per_step=per_step, rank=rank, workers=workers, seed=config.seed)


def choose_trainable(model: nn.Module, config: TrainConfig) -> None:
    """Freeze the tower that ``trainable`` leaves out. A frozen text tower keeps an existing text index valid."""
    for name, parameter in model.named_parameters():
        in_image = name.startswith("visual.")
        if (config.trainable == "image" and not in_image) or (config.trainable == "text" and in_image):
            parameter.requires_grad_(False)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Trainable parameters with weight decay on matrices only; gains, biases and the logit scale have none (as in CLIP)."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]


def schedule(step: int, steps: int, warmup: int) -> float:
    """The share of the learning rate at ``step``: a linear warm-up, then half a cosine down to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _as_numbers(terms: dict[str, torch.Tensor]) -> dict[str, float]:
    return {key: float(value.detach()) for key, value in terms.items()}


def _report(
    curve: list[dict[str, float]], clip: ClipModel, config: TrainConfig, optimizer: torch.optim.Optimizer, rank: int
) -> None:
    """Report to Ray Train; the first worker adds a checkpoint from which any number of workers can go on.

    The whole curve travels with the checkpoint: Ray Train keeps the metrics of the newest checkpoints only.
    """
    metrics = curve[-1]
    if rank != 0:
        ray.train.report(metrics)
        return
    print(f"[train] {json.dumps({key: round(value, 4) for key, value in metrics.items()})}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        save_clip(clip, config.model, clip.model.state_dict(), scratch)
        torch.save({"optimizer": optimizer.state_dict(), "curve": curve}, Path(scratch) / STATE_FILE)
        storage.write_checksums(Path(scratch))
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(scratch))


def _resume(model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, list[dict[str, float]]]:
    """Load the newest checkpoint of this run, if there is one; returns the step to go on at and the curve so far."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return 0, []
    with checkpoint.as_directory() as folder:
        model.load_state_dict(load_clip(folder).model.state_dict())
        state = torch.load(Path(folder) / STATE_FILE, weights_only=True)
    optimizer.load_state_dict(state["optimizer"])
    return state["curve"][-1]["step"], state["curve"]
