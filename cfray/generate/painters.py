"""The two diffusion stages: base images from prompts, and counterfactuals of them by inpainting."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoPipelineForInpainting, AutoPipelineForText2Image, DiffusionPipeline
from PIL import Image

from cfray.dataset.schema import decode_mask, decode_picture, encode_png
from cfray.errors import UserError
from cfray.generate.config import InpainterConfig, PainterConfig
from cfray.generate.stage import Row, Stage, record_model, use_device
from cfray.world.models import model_path


class BasePainter(Stage):
    """Paints the base image of each row from its ``prompt``."""

    name = "base"

    def __init__(self, config: PainterConfig):
        super().__init__()
        self.config = config
        self.pipeline = load_pipeline(AutoPipelineForText2Image, config)

    def process(self, row: Row) -> None:
        pictures = self.pipeline(
            prompt=row["prompt"], width=self.config.size, height=self.config.size, num_inference_steps=self.config.steps,
            guidance_scale=self.config.guidance_scale, generator=_generator(row["seed"]), output_type="np",
        ).images  # fmt: skip
        row["base"] = encode_png(_as_uint8(pictures[0]))
        record_model(row, "base", self.config.model, None)


class Inpainter(Stage):
    """Repaints the masked person of each row once per variant; outside the mask every variant equals the base.

    All variants of a set are one call, so that the shapes a model sees do not depend on how rows were batched: the
    same plan gives the same bytes whatever the batch size, the number of workers or the restarts.
    """

    name = "inpaint"

    def __init__(self, config: InpainterConfig):
        super().__init__()
        self.config = config
        self.pipeline = load_pipeline(AutoPipelineForInpainting, config)

    def process(self, row: Row) -> None:
        base, mask = decode_picture(row["base"]), decode_mask(row["mask"])
        variants = row["variants"]
        pictures = self.pipeline(
            prompt=[variant["prompt"] for variant in variants],
            image=[Image.fromarray(base)] * len(variants), mask_image=[Image.fromarray(mask)] * len(variants),
            width=self.config.size, height=self.config.size, strength=self.config.strength,
            num_inference_steps=self.config.steps, guidance_scale=self.config.guidance_scale,
            generator=[_generator(variant["seed"]) for variant in variants], output_type="np",
        ).images  # fmt: skip
        for variant, picture in zip(variants, pictures, strict=True):
            variant["image"] = encode_png(composite(base, _as_uint8(picture), mask))
        record_model(row, "inpaint", self.config.model, None)


def composite(base: np.ndarray, painted: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """``painted`` inside the mask, ``base`` outside of it, pixel for pixel.

    Args:
        base, painted: uint8 (h, w, 3).
        mask: bool (h, w).
    """
    if base.shape != painted.shape or mask.shape != base.shape[:2]:
        raise ValueError(
            f"base {base.shape}, painted {painted.shape} and mask {mask.shape} differ in size; paint at the base's size"
        )
    return np.where(mask[..., None], painted, base)


def load_pipeline(kind: type, config: PainterConfig) -> DiffusionPipeline:
    """Load a pipeline by an ``AutoPipeline`` class onto the stage's device, safetensors only.

    Raises:
        UserError: if the model is not found or its folder is incomplete.
    """
    device = use_device(config)
    path = model_path(config.model)
    try:
        pipeline = kind.from_pretrained(path, dtype=getattr(torch, config.dtype), use_safetensors=True)
    except OSError as error:
        raise UserError(f"model {config.model!r} cannot be loaded: {str(error).splitlines()[0]}") from None
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def _generator(seed: int) -> torch.Generator:
    # On the CPU even for a GPU pipeline: the noise is then the same on every kind of device.
    return torch.Generator("cpu").manual_seed(seed)


def _as_uint8(picture: np.ndarray) -> np.ndarray:
    return (picture * 255).round().astype(np.uint8)
