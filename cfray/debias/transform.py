"""What every debiasing method is: a transform of embeddings with a strength, tied to the weights it was fitted on."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn
from torch.nn import functional as F

from cfray import storage
from cfray.clip.model import ClipModel
from cfray.debias.cache import weights_hash
from cfray.errors import UserError

SETTINGS_FILE = "debias.json"
TENSORS_FILE = "debias.safetensors"


class Debiaser(nn.Module, ABC):
    """A transform of image and text embeddings.

    Methods define ``_image`` and ``_text``, the transform at full strength: (n, d) to (n, d), un-normalised in and out.
    Strength s gives (1 - s) * x + s * f(x), so 0 is the identity bit for bit and 1 the method itself.

    Attributes:
        weights: hash of the CLIP weights it was fitted on, see ``weights_hash``.
        settings: what the constructor needs to build it again, plain data.
    """

    method: ClassVar[str]

    def __init__(self, weights: str, **settings: Any):
        super().__init__()
        self.weights, self.settings = weights, settings

    @abstractmethod
    def _image(self, x: torch.Tensor) -> torch.Tensor: ...

    @abstractmethod
    def _text(self, x: torch.Tensor) -> torch.Tensor: ...

    def image(self, x: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
        """Debias image embeddings (n, d), un-normalised; the result has the same shape and dtype.

        Raises:
            ValueError: if the strength is outside [0, 1].
        """
        return _mix(x, self._image, strength)

    def text(self, x: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
        """Debias text embeddings (n, d), un-normalised; as ``image``."""
        return _mix(x, self._text, strength)

    def save(self, place: str) -> None:
        """Write ``debias.safetensors`` and ``debias.json`` into a local folder or remote place."""
        tensors = {key: value.detach().cpu().contiguous() for key, value in self.state_dict().items()}
        storage.write_bytes(storage.join(place, TENSORS_FILE), save_tensors(tensors))
        settings = {"schema": 1, "method": self.method, "weights": self.weights, "settings": self.settings}
        storage.write_bytes(storage.join(place, SETTINGS_FILE), (json.dumps(settings, indent=2) + "\n").encode())


def _mix(x: torch.Tensor, transform, strength: float) -> torch.Tensor:
    if not 0 <= strength <= 1:
        raise ValueError(f"strength={strength} is outside [0, 1]")
    if strength == 0:
        return x
    # lerp gives its second argument exactly at 1.
    return torch.lerp(x.float(), transform(x.float()), strength).to(x.dtype)


def with_norm_of(x: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """``direction`` (n, d) scaled to the norms of x, so that a raw dot product keeps the weight of each embedding."""
    return F.normalize(direction, dim=-1) * x.norm(dim=-1, keepdim=True)


class DebiasedTowers(nn.Module):
    """A CLIP whose towers end in a debiaser; ``encode_image`` and ``encode_text`` as open_clip has them."""

    def __init__(self, clip: nn.Module, debiaser: Debiaser, strength: float = 1.0):
        super().__init__()
        self.clip, self.debiaser = clip, debiaser
        # A buffer, so that whoever tells models apart by their state tells two strengths apart.
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


def debias_clip(clip: ClipModel, debiaser: Debiaser, strength: float = 1.0, *, other_weights: bool = False) -> ClipModel:
    """A CLIP with the debiaser behind its towers; ``clip`` itself is left as it is and shares its weights.

    Args:
        clip: the model the debiaser was fitted on: a published CLIP, a fine-tuned one or a CFalpha blend.
        debiaser: from ``fit`` or ``load_debiaser``.
        strength: 0 (the CLIP as it was) to 1.
        other_weights: allow a model that the debiaser was not fitted on, such as the blend at another alpha.

    Raises:
        UserError: if the debiaser was fitted on other weights and that is not allowed.
        ValueError: if the strength is outside [0, 1].
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength={strength} is outside [0, 1]")
    if not other_weights:
        require_weights(debiaser, weights_hash(clip.model))
    device = next(clip.model.parameters()).device
    return replace(clip, model=DebiasedTowers(clip.model, debiaser.to(device), strength).eval())


def require_weights(debiaser: Debiaser, weights: str) -> None:
    """UserError if the debiaser was fitted on embeddings of a model with another hash than ``weights``."""
    if debiaser.weights != weights:
        raise UserError(
            f"the {debiaser.method} debiaser was fitted on a model with hash {debiaser.weights}, this one has {weights}; "
            "fit it again on this model"
        )


def read_debiaser(place: str, methods: dict[str, type[Debiaser]]) -> Debiaser:
    """Read what ``Debiaser.save`` wrote, with the class of ``methods`` that the file names.

    Raises:
        UserError: if there is no debiaser at the place, or its method or tensors are not known here.
    """
    file = storage.join(place, SETTINGS_FILE)
    if not storage.exists(file):
        raise UserError(f"no debiaser at {place!r}: there is no {SETTINGS_FILE}; run jobs/debias.py with output={place}")
    data = json.loads(storage.read_bytes(file))
    if data.get("method") not in methods:
        raise UserError(f"debiaser at {place!r} has method {data.get('method')!r}; known are {', '.join(methods)}")
    debiaser = methods[data["method"]](data["weights"], **data["settings"])
    try:
        debiaser.load_state_dict(load_tensors(storage.read_bytes(storage.join(place, TENSORS_FILE))))
    except RuntimeError as error:
        raise UserError(f"debiaser at {place!r} does not fit its settings: {str(error).splitlines()[-1].strip()}") from None
    return debiaser.eval()
