"""CFalpha: the blend of two sets of weights (arXiv 2406.11331, after WiSE-FT, arXiv 2109.01903)."""

from __future__ import annotations

import torch


def blend(base: dict[str, torch.Tensor], tuned: dict[str, torch.Tensor], alpha: float) -> dict[str, torch.Tensor]:
    """theta_alpha = (1 - alpha) * theta_base + alpha * theta_tuned.

    Computed in float32 and returned in the dtype of ``base``. At alpha 0 and 1, and where the two are
    equal, the inputs come back bit for bit.

    Args:
        base, tuned: state dicts with the same keys and shapes.
        alpha: in [0, 1].

    Raises:
        ValueError: if alpha is outside [0, 1], keys or shapes differ (the message lists them), or an integer buffer
            has two values.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha={alpha} is outside [0, 1]")
    differing = sorted(base.keys() ^ tuned.keys())
    if differing:
        raise ValueError(
            f"the two models differ in {len(differing)} keys: {', '.join(differing)}; blend models of one architecture"
        )
    shapes = [
        f"{key} {tuple(base[key].shape)} and {tuple(tuned[key].shape)}" for key in base if base[key].shape != tuned[key].shape
    ]
    if shapes:
        raise ValueError(f"the two models differ in the shape of {len(shapes)} keys: {'; '.join(shapes)}")
    return {key: _blend(key, base[key], tuned[key], alpha) for key in base}


def _blend(key: str, base: torch.Tensor, tuned: torch.Tensor, alpha: float) -> torch.Tensor:
    if not base.is_floating_point():
        if not torch.equal(base, tuned):
            raise ValueError(f"integer buffer {key!r} differs between the two models and cannot be blended")
        return base.clone()
    if alpha in (0, 1):
        return (tuned.to(base.dtype) if alpha else base).clone()
    if torch.equal(base, tuned):
        return base.clone()
    return ((1 - alpha) * base.float() + alpha * tuned.float()).to(base.dtype)
