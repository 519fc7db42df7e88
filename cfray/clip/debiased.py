"""A debiased CLIP: a frozen CLIP whose towers end in a transform of their embeddings, with a strength."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn
from torch.nn import functional as F

from cfray import storage
from cfray.clip.debiasers import METHODS, Debiaser, require_strength
from cfray.errors import UserError

SETTINGS_FILE = "debias.json"
TENSORS_FILE = "debias.safetensors"
_CLIP = "clip."


class DebiasedTowers(nn.Module):
    """A CLIP whose towers end in a debiaser; ``encode_image`` and ``encode_text`` as open_clip has them."""

    def __init__(self, clip: nn.Module, debiaser: Debiaser, strength: float = 1.0):
        super().__init__()
        self.clip, self.debiaser = clip, debiaser
        # A buffer, so that whoever tells models apart by their state tells two strengths apart, and a blend of the same
        # model at two strengths is the model at a strength between them.
        self.register_buffer("strength", torch.tensor(strength, dtype=torch.float64))

    @property
    def logit_scale(self) -> torch.Tensor:
        return self.clip.logit_scale

    @property
    def visual(self) -> nn.Module:
        return self.clip.visual

    def encode_image(self, image: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        features = self.debiaser.image(self.clip.encode_image(image), float(self.strength))
        return F.normalize(features, dim=-1) if normalize else features

    def encode_text(self, text: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        features = self.debiaser.text(self.clip.encode_text(text), float(self.strength))
        return F.normalize(features, dim=-1) if normalize else features

    def forward(self, image: torch.Tensor, text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.encode_image(image, normalize=True), self.encode_text(text, normalize=True), self.logit_scale.exp()


def weights_hash(state: Mapping[str, torch.Tensor]) -> str:
    """Sixteen hexadecimal digits of a CLIP's weights, whatever their dtype on disk.

    Values are compared as float32, so a checkpoint and its float32 export are one model; a blend of two models at
    another alpha is another one.
    """
    digest = hashlib.sha256()
    for key, value in sorted(state.items()):
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
        digest.update(f"{key} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def attach(model: nn.Module, debiaser: Debiaser, strength: float = 1.0, *, other_weights: bool = False) -> DebiasedTowers:
    """The CLIP ``model`` with the debiaser behind its towers; it shares the weights of ``model``, which stays as it is.

    Args:
        model: a CLIP, fine-tuned or a CFalpha blend included.
        debiaser: fitted on it.
        strength: 0 (the CLIP as it was) to 1.
        other_weights: allow a model that the debiaser was not fitted on, such as the blend at another alpha.

    Raises:
        UserError: if the model is debiased already, or the debiaser was fitted on other weights and that is not allowed.
        ValueError: if the strength is outside [0, 1].
    """
    require_strength(strength)
    if isinstance(model, DebiasedTowers):
        raise UserError(f"the model is debiased already, by {model.debiaser.method}; give the CLIP that it was fitted on")
    hashed = weights_hash(model.state_dict())
    if debiaser.weights != hashed and not other_weights:
        raise UserError(
            f"the {debiaser.method} debiaser was fitted on a model with hash {debiaser.weights}, this one has {hashed}; "
            "fit it again on this model"
        )
    return DebiasedTowers(model, debiaser.to(next(model.parameters()).device), strength).eval()


def split_state(state: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], float]:
    """The CLIP's own weights and the strength in a state of ``DebiasedTowers``."""
    return {key.removeprefix(_CLIP): value for key, value in state.items() if key.startswith(_CLIP)}, float(state["strength"])


def save_debiaser(debiaser: Debiaser, place: str, *, strength: float = 1.0, weights: str | None = None) -> None:
    """Write ``debias.safetensors`` and ``debias.json`` into a local folder or remote place.

    Args:
        debiaser: any.
        place: that of the CLIP it stands behind.
        strength: what ``read_debiaser`` gives back with it.
        weights: hash of that CLIP, where it is another one than the debiaser was fitted on.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in debiaser.state_dict().items()}
    storage.write_bytes(storage.join(place, TENSORS_FILE), save_tensors(tensors))
    settings = {
        "schema": 1, "method": debiaser.method, "weights": weights or debiaser.weights, "strength": strength,
        "settings": debiaser.settings,
    }  # fmt: skip
    storage.write_bytes(storage.join(place, SETTINGS_FILE), (json.dumps(settings, indent=2) + "\n").encode())


def read_debiaser(place: str) -> tuple[Debiaser, float]:
    """Read what ``save_debiaser`` wrote: the debiaser and its strength.

    Raises:
        UserError: if there is no debiaser at the place, or its method, tensors or strength do not fit.
    """
    file = storage.join(place, SETTINGS_FILE)
    if not storage.exists(file):
        raise UserError(f"no debiaser at {place!r}: there is no {SETTINGS_FILE}; run jobs/debias.py with output={place}")
    data = json.loads(storage.read_bytes(file))
    if data.get("method") not in METHODS:
        raise UserError(f"debiaser at {place!r} has method {data.get('method')!r}; known are {', '.join(METHODS)}")
    debiaser = METHODS[data["method"]](data["weights"], **data["settings"])
    try:
        debiaser.load_state_dict(load_tensors(storage.read_bytes(storage.join(place, TENSORS_FILE))))
        require_strength(data["strength"])
    except (RuntimeError, ValueError) as error:
        raise UserError(f"debiaser at {place!r} does not fit its settings: {str(error).splitlines()[-1].strip()}") from None
    return debiaser.eval(), data["strength"]
