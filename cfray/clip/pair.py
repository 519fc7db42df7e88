"""Two models and what lies between them: CFalpha blends, or a debiased model at every strength."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cfray.clip.blend import blend
from cfray.clip.debiased import DebiasedTowers
from cfray.clip.model import ClipModel, debias_clip, load_clip, require_undebiased
from cfray.errors import UserError


@dataclass
class ClipPair:
    """The ends of alpha: ``clip`` has the weights ``base`` at 0 and ``tuned`` at 1."""

    clip: ClipModel
    base: dict[str, torch.Tensor]
    tuned: dict[str, torch.Tensor]

    def at(self, alpha: float) -> dict[str, torch.Tensor]:
        """The state at alpha in [0, 1], for ``clip.model.load_state_dict`` or ``save_clip``."""
        return blend(self.base, self.tuned, alpha)


def load_pair(base: str, tuned: str) -> ClipPair:
    """Load the two ends of alpha by their names, as ``load_clip`` takes them.

    Of two CLIPs alpha blends the weights. Where ``tuned`` is a debiased model, alpha is the strength of its debiaser as a
    share of what it was saved with, and ``base`` must be the CLIP that it was fitted on.

    Raises:
        UserError: if there is no such model, the two differ in architecture, or a debiased one does not fit the other.
    """
    clip, other = load_clip(base), load_clip(tuned)
    require_undebiased(clip, base)
    if isinstance(other.model, DebiasedTowers):
        try:
            clip = debias_clip(clip, other.model.debiaser, 0.0)
        except UserError as error:
            raise UserError(f"{base!r} is not the CLIP that {tuned!r} was fitted on: {error}") from None
    pair = ClipPair(clip, {key: value.clone() for key, value in clip.model.state_dict().items()}, other.model.state_dict())
    try:
        pair.at(0.5)
    except ValueError as error:
        raise UserError(f"{base!r} and {tuned!r}: {error}") from None
    return pair


def load_blend(base: str, tuned: str, alpha: float) -> ClipModel:
    """The model at ``alpha`` between two models; see ``load_pair``."""
    pair = load_pair(base, tuned)
    pair.clip.model.load_state_dict(pair.at(alpha))
    return pair.clip
