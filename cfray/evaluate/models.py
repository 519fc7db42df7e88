"""The models of an evaluation, loaded: CLIPs, blends at several alpha of one pair, debiased models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import torch

from cfray.clip.debiased import read_debiaser
from cfray.clip.model import ClipModel, debias_clip, load_clip
from cfray.clip.pair import load_blend, load_pair
from cfray.errors import UserError
from cfray.evaluate.config import ComparedModel
from cfray.evaluate.one_pass import Weighted


def each_model(models: Mapping[str, ComparedModel], device: torch.device) -> Iterator[tuple[str, Weighted]]:
    """Load one model after the other onto ``device``. Blends of one pair that follow each other share its two ends, so that
    a sweep over alpha holds three sets of weights, however many alpha there are.

    Raises:
        UserError: naming the model that is missing or does not fit.
    """
    ends, pair = None, None
    for name, config in models.items():
        if config.tuned is None or config.debiaser is not None:
            clip = load_compared(name, config)
            clip.model.to(device)
            yield name, Weighted(clip)
            continue
        if ends != (config.model, config.tuned):
            try:
                pair = load_pair(config.model, config.tuned)
            except UserError as error:
                raise UserError(f"models.{name}: {error}") from None
            pair.clip.model.to(device)
            for state in (pair.base, pair.tuned):
                state.update({key: value.to(device) for key, value in state.items()})
            ends = (config.model, config.tuned)
        yield name, Weighted(pair.clip, partial(pair.at, config.alpha))


def load_compared(name: str, config: ComparedModel) -> ClipModel:
    """The model that a row of a comparison describes: a CLIP or a blend, with a debiaser or without.

    Raises:
        UserError: if a model is missing, the two of a blend do not fit, or a debiaser was fitted on other weights.
    """
    try:
        if config.debiaser is None and config.tuned is None:
            return load_clip(config.model, strength=config.strength)
        clip = load_clip(config.model) if config.tuned is None else load_blend(config.model, config.tuned, config.alpha)
        if config.debiaser is None:
            return clip
        debiaser, saved = read_debiaser(config.debiaser)
        strength = saved if config.strength is None else config.strength
        return debias_clip(clip, debiaser, strength, other_weights=config.other_weights)
    except UserError as error:
        raise UserError(f"models.{name}: {error}") from None
