"""The mask stage: where the person is, by a SegFormer parser, dilated so that new hair has room."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional as F
from transformers import SegformerForSemanticSegmentation, SegformerImageProcessor

from cfray.dataset.schema import decode_picture, encode_png
from cfray.errors import UserError
from cfray.generate.config import MaskConfig
from cfray.generate.stage import Row, RowRejectedError, Stage, record_model, use_device
from cfray.world.models import model_path

# Label names of the ATR clothes parser that are the body itself; clothes, hat and bag are context.
BODY = ("Hair", "Face", "Left-leg", "Right-leg", "Left-arm", "Right-arm")
BACKGROUND = "Background"


class PersonMasker(Stage):
    """Masks the person on each row's base image and rejects rows whose mask is too small or too large."""

    name = "mask"

    def __init__(self, config: MaskConfig):
        super().__init__()
        self.config = config
        self.device = use_device(config)
        path = model_path(config.model)
        try:
            model = SegformerForSemanticSegmentation.from_pretrained(
                path, dtype=getattr(torch, config.dtype), use_safetensors=True
            )
            self.processor = SegformerImageProcessor.from_pretrained(path)
        except OSError as error:
            raise UserError(f"model {config.model!r} cannot be loaded: {str(error).splitlines()[0]}") from None
        self.model = model.to(self.device).eval()
        self.labels = region_labels(self.model.config.id2label, config.region)

    def process(self, row: Row) -> None:
        mask = self.person_mask(decode_picture(row["base"]))
        area = float(mask.mean())
        row["checks"] = {"mask_area": area}
        row["mask"] = encode_png(mask)
        record_model(row, "mask", self.config.model, None)
        if not self.config.min_area <= area <= self.config.max_area:
            raise RowRejectedError(
                "mask_area",
                f"the mask covers {area:.3f} of the picture; allowed {self.config.min_area} to {self.config.max_area}",
            )

    @torch.inference_mode()
    def person_mask(self, picture: np.ndarray) -> np.ndarray:
        """The dilated mask of the region, bool (h, w), of a uint8 picture (h, w, 3)."""
        inputs = self.processor(images=picture, return_tensors="pt").to(self.device, self.model.dtype)
        logits = F.interpolate(
            self.model(**inputs).logits.float(), size=picture.shape[:2], mode="bilinear", align_corners=False
        )
        found = np.isin(logits[0].argmax(dim=0).cpu().numpy(), self.labels)
        return dilate(found, self.config.dilate_px)


def region_labels(id2label: dict[int, str], region: str) -> list[int]:
    """The label numbers of a region: ``body`` the body parts, ``person`` everything but the background.

    Raises:
        UserError: if the parser has none of the body's label names.
    """
    if region == "person":
        return [number for number, name in id2label.items() if name != BACKGROUND]
    labels = [number for number, name in id2label.items() if name in BODY]
    if not labels:
        raise UserError(f"the parser's labels ({', '.join(id2label.values())}) name no body part; use masks.region=person")
    return labels


def dilate(mask: np.ndarray, pixels: int) -> np.ndarray:
    """The mask grown by ``pixels`` in every direction (Euclidean), bool (h, w)."""
    if pixels == 0 or not mask.any():
        return mask
    return ndimage.distance_transform_edt(~mask) <= pixels
