"""Fits any method from its configuration."""

from __future__ import annotations

from collections.abc import Callable

from cfray.clip.debiasers import Debiaser
from cfray.debias.biased_prompts import fit_biased_prompts
from cfray.debias.clip_clip import fit_clip_clip
from cfray.debias.closed_form import fit_closed_form
from cfray.debias.config import BiasedPromptsConfig, ClipClipConfig, JointConfig, MethodConfig
from cfray.debias.data import DebiasData
from cfray.debias.joint_gated import fit_gated
from cfray.debias.joint_published import fit_published


def fit(data: DebiasData, config: MethodConfig, score: Callable[[Debiaser], float] | None = None) -> Debiaser:
    """Fit the method of ``config`` on embeddings.

    Args:
        data: from ``embed_training_data``.
        config: the method and its numbers.
        score: validation ABLE, which the published form keeps its best state by; the other methods have one state.

    Raises:
        UserError: if there are too few pictures for the configuration.
    """
    if isinstance(config, JointConfig):
        return fit_gated(data, config.gated) if config.form == "gated" else fit_published(data, config.published, score)
    if isinstance(config, ClipClipConfig):
        return fit_clip_clip(data, kept=config.kept, seed=config.seed)
    if isinstance(config, BiasedPromptsConfig):
        return fit_biased_prompts(data, regularisation=config.regularisation)
    return fit_closed_form(data)
