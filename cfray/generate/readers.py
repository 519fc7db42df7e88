"""Models that read pictures back: classifiers of one axis, a zero-shot CLIP, a safety checker."""

from __future__ import annotations

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification, CLIPImageProcessor

from cfray.clip.embed import embed_images, embed_texts, preprocess_pictures
from cfray.clip.model import load_clip
from cfray.concepts.appearance import Appearances
from cfray.errors import UserError
from cfray.generate.config import ClipCheckConfig
from cfray.world.models import model_path


class AttributeReader:
    """An image classifier whose label names are values of an appearance axis."""

    def __init__(self, model: str):
        path = model_path(model)
        try:
            self.model = AutoModelForImageClassification.from_pretrained(path, dtype=torch.float32, use_safetensors=True).eval()
            self.processor = AutoImageProcessor.from_pretrained(path)
        except OSError as error:
            raise UserError(f"model {model!r} cannot be loaded: {str(error).splitlines()[0]}") from None

    @torch.inference_mode()
    def read(self, pictures: list[np.ndarray]) -> list[str]:
        """The label name of each uint8 picture (h, w, 3)."""
        inputs = self.processor(images=[Image.fromarray(picture) for picture in pictures], return_tensors="pt")
        return [self.model.config.id2label[int(i)] for i in self.model(**inputs).logits.argmax(dim=1)]


class ClipReader:
    """A CLIP that reads appearance axes zero-shot and compares pictures with captions.

    Raises:
        UserError: if the model cannot be loaded or an axis has a value without words to read it by.
    """

    def __init__(self, config: ClipCheckConfig, appearances: Appearances, device: torch.device):
        self._clip = load_clip(config.model)
        self._clip.model.to(device)
        self._scale = float(self._clip.model.logit_scale.detach().exp())
        self._texts = {axis: self._embed(appearances, axis) for axis in config.min_probability}

    def embed(self, pictures: list[np.ndarray]) -> torch.Tensor:
        """L2-normalised embeddings, float32 (n, d), of uint8 pictures (h, w, 3)."""
        return embed_images(self._clip, preprocess_pictures(self._clip, pictures))

    def read(self, embedded: torch.Tensor) -> list[dict[str, dict[str, float]]]:
        """For each embedded picture {axis: {value: probability}}: softmax of the scaled cosines over an axis's values."""
        rows: list[dict[str, dict[str, float]]] = [{} for _ in embedded]
        for axis, (values, texts) in self._texts.items():
            shares = (self._scale * embedded @ texts.T).softmax(dim=1).tolist()
            for row, probabilities in zip(rows, shares, strict=True):
                row[axis] = dict(zip(values, probabilities, strict=True))
        return rows

    def similarity(self, embedded: torch.Tensor, caption: str) -> list[float]:
        """The cosine of each embedded picture and a caption."""
        return (embedded @ embed_texts(self._clip, [caption])[0]).tolist()

    def _embed(self, appearances: Appearances, axis: str) -> tuple[list[str], torch.Tensor]:
        if axis not in appearances.axes:
            raise UserError(
                f"checks.clip.min_probability has {axis!r}, not in {appearances.name!r}: {', '.join(appearances.axes)}"
            )
        values = appearances.axes[axis].values
        missing = [name for name, value in values.items() if value.read is None]
        if missing:
            raise UserError(
                f"{axis}={missing[0]!r} in {appearances.name!r} has no 'read' words; add them or do not check {axis}"
            )
        return list(values), embed_texts(self._clip, [value.read for value in values.values()])


class SafetyReader:
    """A StableDiffusionSafetyChecker; it says what it flags, and the pictures stay as they are."""

    def __init__(self, model: str, device: torch.device):
        path = model_path(model)
        try:
            self._model = StableDiffusionSafetyChecker.from_pretrained(path, use_safetensors=True).to(device).eval()
            self._processor = CLIPImageProcessor.from_pretrained(path)
        except OSError as error:
            raise UserError(f"model {model!r} cannot be loaded: {str(error).splitlines()[0]}") from None

    @torch.inference_mode()
    def flags(self, pictures: list[np.ndarray]) -> list[bool]:
        """Whether each uint8 picture (h, w, 3) is flagged."""
        inputs = self._processor(images=[Image.fromarray(picture) for picture in pictures], return_tensors="pt").pixel_values
        # It blackens what it flags in the second argument: stand-ins, so that no picture is touched.
        stand_ins = [np.zeros((1, 1, 3)) for _ in pictures]
        return [bool(flag) for flag in self._model(images=stand_ins, clip_input=inputs.to(self._model.device))[1]]
