"""The target classifier: a linear head on frozen features, or any torchvision or timm model; saved and loaded."""

from __future__ import annotations

import json
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn
from torchvision import models, transforms

from cfray import storage
from cfray.errors import UserError
from cfray.groups.config import BackboneConfig, LinearBackbone

# What torchvision and timm models are trained with.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class LinearHead(nn.Module):
    """Class logits (n, C) of frozen features (n, d), standardised by the mean and deviation of the training features."""

    def __init__(self, features: int, classes: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.out = nn.Linear(features, classes)

    def standardise(self, features: torch.Tensor) -> None:
        """Take mean and deviation from features (n, d)."""
        self.mean.copy_(features.mean(dim=0))
        self.std.copy_(features.std(dim=0).clamp_min(1e-6))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.out((features - self.mean) / self.std)


def build_classifier(config: BackboneConfig, classes: int, features: int | None = None) -> nn.Module:
    """A model that maps inputs to logits (n, classes), with the weights that the configuration names.

    Args:
        config: see ``BackboneConfig``.
        classes: number of classes.
        features: dimensions of the frozen features; needed for a linear head.

    Raises:
        UserError: for an unknown model, or weights that are not there or fit no layer.
    """
    if isinstance(config, LinearBackbone):
        return LinearHead(features, classes)
    try:
        if config.kind == "timm":
            import timm  # comes with open_clip; takes seconds to import

            downloaded = config.weights == "pretrained"
            model = timm.create_model(config.name, pretrained=downloaded, num_classes=classes)
            return model if downloaded or config.weights is None else _with_weights(model, config.weights)
        model = models.get_model(config.name, weights=None, num_classes=classes)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"backbone.name={config.name!r}: {error}; look at the models that {config.kind} lists") from None
    if config.weights is None:
        return model
    if "." in config.weights:
        return _with_weights(model, config.weights)
    try:
        state = models.get_model_weights(config.name)[config.weights].get_state_dict()
    except (KeyError, OSError) as error:
        raise UserError(f"backbone.weights={config.weights!r} of {config.name!r} cannot be had: {error}") from None
    return _load_matching(model, state, config.weights)


def _with_weights(model: nn.Module, place: str) -> nn.Module:
    content = storage.read_bytes(place)
    if not place.endswith(".safetensors"):
        raise UserError(f"backbone.weights={place!r} is no .safetensors file; convert it, other formats can run code")
    return _load_matching(model, load_tensors(content), place)


def _load_matching(model: nn.Module, state: dict[str, torch.Tensor], name: str) -> nn.Module:
    """Load what has the right shape: all but the head, whose classes are others."""
    own = model.state_dict()
    fitting = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    if len(fitting) < len(own) / 2:
        raise UserError(f"backbone.weights={name!r} fit {len(fitting)} of {len(own)} tensors; they are of another model")
    model.load_state_dict(fitting, strict=False)
    return model


def plain_transform(size: int) -> transforms.Compose:
    """A PIL image to a model's input, float32 (3, size, size)."""
    steps = [transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor(), transforms.Normalize(_MEAN, _STD)]
    return transforms.Compose(steps)


def standard_augmentation() -> transforms.Compose:
    """Standard augmentation, PIL image to PIL image of the same size: crop of half the area or more, mirror, light."""

    def crop(image: Any) -> Any:
        box = transforms.RandomResizedCrop.get_params(image, scale=(0.5, 1.0), ratio=(0.8, 1.25))
        return transforms.functional.resized_crop(image, *box, size=[image.height, image.width], antialias=True)

    return transforms.Compose([crop, transforms.RandomHorizontalFlip(), transforms.ColorJitter(0.3, 0.3, 0.2)])


def save_classifier(
    place: str, config: BackboneConfig, classes: list[str], state: dict[str, torch.Tensor], features: int | None
) -> None:
    """Write a classifier as ``load_classifier`` reads it."""
    described = {"backbone": config.model_dump(mode="json"), "classes": classes, "features": features}
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    storage.write_bytes(storage.join(place, "model.safetensors"), save_tensors(tensors))
    storage.write_bytes(storage.join(place, "classifier.json"), (json.dumps(described, indent=2) + "\n").encode())


def load_classifier(place: str) -> tuple[nn.Module, list[str], BackboneConfig]:
    """The model in evaluation mode, its class names, and the backbone that says what its inputs are.

    Raises:
        UserError: if there is no classifier at the place.
    """
    described = json.loads(storage.read_bytes(storage.join(place, "classifier.json")))
    config = TypeAdapter(BackboneConfig).validate_python(described["backbone"])
    bare = config if isinstance(config, LinearBackbone) else config.model_copy(update={"weights": None})
    model = build_classifier(bare, len(described["classes"]), described["features"])
    model.load_state_dict(load_tensors(storage.read_bytes(storage.join(place, "model.safetensors"))))
    return model.eval(), described["classes"], config
