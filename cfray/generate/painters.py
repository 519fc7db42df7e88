"""The two diffusion stages: base images from prompts, and counterfactuals of them by inpainting."""

from __future__ import annotations

import numpy as np
from diffusers import AutoPipelineForInpainting, AutoPipelineForText2Image
from PIL import Image
from scipy import ndimage

from cfray.dataset.schema import decode_mask, decode_picture, encode_png
from cfray.generate.config import InpainterConfig, PainterConfig
from cfray.generate.diffusion import load_pipeline
from cfray.generate.inpainting import VariantPainter, flags_of, new_generator
from cfray.generate.memory import Calls
from cfray.generate.regions import crop_box
from cfray.generate.stage import Row, RowRejectedError, Stage, record_model, revision_of


class BasePainter(Stage):
    """Paints the base image of each row from its ``prompt``.

    With ``images_per_call`` above 1, rows are painted together and a short call is filled up, so that the model always
    sees the same shape and no picture depends on which rows came along.
    """

    name = "base"

    def __init__(self, config: PainterConfig):
        super().__init__()
        self.config = config
        self.pipeline = load_pipeline(AutoPipelineForText2Image, config)
        self.revision = revision_of(config)
        self._calls = Calls(config.images_per_call or 1, self.name)

    def process_all(self, rows: list[Row]) -> None:
        try:
            painted = self._calls.run(self._paint, rows)
        except Exception:  # One of the rows cannot be painted; alone, each says for itself.
            super().process_all(rows)
            return
        for row, (picture, unsafe) in zip(rows, painted, strict=True):
            self.attempt(row, lambda row, picture=picture, unsafe=unsafe: self._keep(row, picture, unsafe))

    def process(self, row: Row) -> None:
        self._keep(row, *self._calls.run(self._paint, [row])[0])

    def _paint(self, rows: list[Row]) -> list[tuple[np.ndarray, bool]]:
        filled = rows + [rows[-1]] * (self._calls.limit - len(rows))
        negative = self.config.negative_prompt
        output = self.pipeline(
            prompt=[row["prompt"] for row in filled], width=self.config.size, height=self.config.size,
            num_inference_steps=self.config.steps, guidance_scale=self.config.guidance_scale,
            generator=[new_generator(row["seed"]) for row in filled], output_type="np",
            **({"negative_prompt": [negative] * len(filled)} if negative else {}),
        )  # fmt: skip
        return list(zip(output.images, flags_of(output), strict=True))[: len(rows)]

    def _keep(self, row: Row, picture: np.ndarray, unsafe: bool) -> None:
        row["base"] = encode_png(_as_uint8(picture))
        record_model(row, "base", self.config.model, self.revision)
        if unsafe:
            raise RowRejectedError("unsafe", "the pipeline's safety checker flagged the base image")


class Inpainter(Stage):
    """Repaints the masked person of each row once per variant; outside the mask every variant equals the base.

    All variants of a set are one call, so that the shapes a model sees do not depend on how rows were batched: the
    same plan gives the same bytes whatever the batch size, the number of workers or the restarts.
    """

    name = "inpaint"

    def __init__(self, config: InpainterConfig):
        super().__init__()
        self.config = config
        self.revision = revision_of(config)
        self.painter = VariantPainter(load_pipeline(AutoPipelineForInpainting, config), config)

    def process(self, row: Row) -> None:
        base, mask = decode_picture(row["base"]), decode_mask(row["mask"])
        variants = row["variants"]
        left, upper, right, lower = crop_box(mask, self.config.crop)
        painted = self.painter.paint(
            base[upper:lower, left:right], mask[upper:lower, left:right],
            [variant["prompt"] for variant in variants], [variant["seed"] for variant in variants],
        )  # fmt: skip
        for variant, (picture, unsafe) in zip(variants, painted, strict=True):
            whole = base.copy()
            whole[upper:lower, left:right] = _resized(_as_uint8(picture), (right - left, lower - upper))
            variant["image"] = encode_png(composite(base, whole, mask, self.config.feather_px))
            if unsafe:
                variant["status"] = "rejected:unsafe"
        record_model(row, "inpaint", self.config.model, self.revision)


def composite(base: np.ndarray, painted: np.ndarray, mask: np.ndarray, feather_px: int = 0) -> np.ndarray:
    """``painted`` inside the mask, ``base`` outside of it, pixel for pixel.

    Args:
        base, painted: uint8 (h, w, 3).
        mask: bool (h, w).
        feather_px: pixels inside the mask's edge over which base and painted are blended.
    """
    if base.shape != painted.shape or mask.shape != base.shape[:2]:
        raise ValueError(
            f"base {base.shape}, painted {painted.shape} and mask {mask.shape} differ in size; paint at the base's size"
        )
    if feather_px == 0:
        return np.where(mask[..., None], painted, base)
    # The picture's border is no edge of the mask: a person cut by it is painted up to it.
    inside = ndimage.distance_transform_edt(np.pad(mask, feather_px + 1, mode="edge"))
    share = (inside[feather_px + 1 : -feather_px - 1, feather_px + 1 : -feather_px - 1] / (feather_px + 1)).clip(0, 1)
    blended = base + share[..., None] * (painted.astype(np.float64) - base)
    return np.where(mask[..., None], blended.round().astype(np.uint8), base)


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture at ``size`` (width, height); as it is where it has that size."""
    if picture.shape[1::-1] == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def _as_uint8(picture: np.ndarray) -> np.ndarray:
    return (picture * 255).round().astype(np.uint8)
