"""Paints the variants of a set for less than so many calls of the stock pipeline: the same pixels, shared work done once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline
from PIL import Image

from cfray.generate.config import InpainterConfig
from cfray.generate.memory import Calls

PROMPTS_KEPT = 256
# The pipelines whose ``encode_prompt`` and embedding arguments are known here; others encode their prompts in each call.
_KNOWN = (StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline)


class VariantPainter:
    """Inpaints one picture once per prompt.

    All variants go through the model together. The base's latents and the masked image's latents are encoded once per
    picture, though every variant still draws its own sample of them; a prompt is encoded once per painter, alone, and the
    negative prompt once. So each variant gets what a call of the pipeline for it alone would compute, up to rounding.
    """

    def __init__(self, pipeline: DiffusionPipeline, config: InpainterConfig):
        self._pipeline = pipeline
        self._config = config
        self._calls = Calls(config.images_per_call, "inpaint")
        self._prompts = PromptCache(pipeline, config) if isinstance(pipeline, _KNOWN) else None

    @torch.inference_mode()
    def paint(
        self, picture: np.ndarray, mask: np.ndarray, prompts: list[str], seeds: list[int]
    ) -> list[tuple[np.ndarray, bool]]:
        """Variants of a picture and whether the pipeline's own safety checker flagged them (it blackens those).

        Args:
            picture: uint8 (h, w, 3); resized to the configured size.
            mask: bool (h, w), true where to paint.
            prompts, seeds: one per variant.

        Returns:
            float32 (size, size, 3) in [0, 1] and the flag, one per variant.
        """
        size = (self._config.size, self._config.size)
        image = _tensor(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
        region = _tensor(Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.NEAREST))

        def call(part: list[tuple[str, int]]) -> list[tuple[np.ndarray, bool]]:
            words = [prompt for prompt, _ in part]
            output = self._pipeline(
                image=image.expand(len(part), -1, -1, -1), mask_image=region.expand(len(part), -1, -1, -1),
                width=size[0], height=size[1], strength=self._config.strength, num_inference_steps=self._config.steps,
                guidance_scale=self._config.guidance_scale, generator=[new_generator(seed) for _, seed in part],
                output_type="np", **self._words(words),
            )  # fmt: skip
            return list(zip(output.images, flags_of(output), strict=True))

        with encoding_once(self._pipeline.vae):
            return self._calls.run(call, list(zip(prompts, seeds, strict=True)))

    def _words(self, prompts: list[str]) -> dict[str, object]:
        if self._prompts is None:
            negative = self._config.negative_prompt
            return {"prompt": prompts} | ({"negative_prompt": [negative] * len(prompts)} if negative else {})
        return self._prompts.embeddings(prompts)


class PromptCache:
    """Text embeddings of prompts as the pipeline's arguments; the ``PROMPTS_KEPT`` last used are kept."""

    def __init__(self, pipeline: DiffusionPipeline, config: InpainterConfig):
        self._pipeline = pipeline
        self._kept: OrderedDict[str, dict[str, torch.Tensor]] = OrderedDict()
        # The pipelines' own rule for classifier-free guidance.
        self._guided = config.guidance_scale > 1 and pipeline.unet.config.time_cond_proj_dim is None
        encoded = self._encode("", guided=self._guided, negative_prompt=config.negative_prompt)
        self._negative = {name: value for name, value in encoded.items() if name.startswith("negative")}

    def embeddings(self, prompts: list[str]) -> dict[str, torch.Tensor]:
        """``prompt_embeds`` and the others, float (len(prompts), ...), in the place of ``prompt``."""
        rows = [self._one(prompt) | self._negative for prompt in prompts]
        return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}

    def _one(self, prompt: str) -> dict[str, torch.Tensor]:
        if prompt not in self._kept:
            encoded = self._encode(prompt, guided=False)
            self._kept[prompt] = {name: value for name, value in encoded.items() if not name.startswith("negative")}
            if len(self._kept) > PROMPTS_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(prompt)
        return self._kept[prompt]

    def _encode(self, prompt: str, *, guided: bool, negative_prompt: str | None = None) -> dict[str, torch.Tensor]:
        names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
        encoded = self._pipeline.encode_prompt(
            prompt=prompt, device=self._pipeline.device, num_images_per_prompt=1, do_classifier_free_guidance=guided,
            negative_prompt=negative_prompt,
        )  # fmt: skip
        return {name: value for name, value in zip(names, encoded, strict=False) if value is not None}


@contextmanager
def encoding_once(autoencoder: AutoencoderKL) -> Iterator[None]:
    """Within the context, pictures that are equal are encoded once; sampling from their latent distribution is not shared."""
    encode, seen = autoencoder.encode, []

    def remembered(picture: torch.Tensor, *arguments, **options):
        for known, encoded in seen:
            if known.shape == picture.shape and known.dtype == picture.dtype and torch.equal(known, picture):
                return encoded
        seen.append((picture, encode(picture, *arguments, **options)))
        return seen[-1][1]

    autoencoder.encode = remembered
    try:
        yield
    finally:
        del autoencoder.encode


def new_generator(seed: int) -> torch.Generator:
    # On the CPU even for a GPU pipeline: the noise is then the same on every kind of device.
    return torch.Generator("cpu").manual_seed(seed)


def flags_of(output) -> list[bool]:
    """What the safety checker inside a pipeline said of each picture; pipelines without one flag nothing."""
    return list(getattr(output, "nsfw_content_detected", None) or [False] * len(output.images))


def _tensor(picture: Image.Image) -> torch.Tensor:
    """float32 (1, channels, h, w) in [0, 1]."""
    array = np.asarray(picture, np.float32) / 255
    return torch.from_numpy(np.atleast_3d(array)).permute(2, 0, 1)[None]
