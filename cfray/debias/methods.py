"""All methods by name: fit one from its configuration, load one from its file."""

from __future__ import annotations

from collections.abc import Callable

from cfray.debias.biased_prompts import BiasedPrompts, fit_biased_prompts
from cfray.debias.clip_clip import ClipClip, fit_clip_clip
from cfray.debias.closed_form import ClosedForm, fit_closed_form
from cfray.debias.config import BiasedPromptsConfig, ClipClipConfig, JointConfig, MethodConfig
from cfray.debias.data import DebiasData
from cfray.debias.joint import GatedJoint, PublishedJoint
from cfray.debias.joint_gated import fit_gated
from cfray.debias.joint_published import fit_published
from cfray.debias.transform import Debiaser, read_debiaser

METHODS: dict[str, type[Debiaser]] = {
    kind.method: kind for kind in (GatedJoint, PublishedJoint, ClipClip, BiasedPrompts, ClosedForm)
}


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


def load_debiaser(place: str) -> Debiaser:
    """Read a debiaser from the folder that ``Debiaser.save`` wrote.

    Raises:
        UserError: if there is none, or it cannot be read here.
    """
    return read_debiaser(place, METHODS)
