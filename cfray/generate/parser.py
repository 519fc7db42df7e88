"""A SegFormer that labels the parts of people, by label name: clothes parsers (ATR) and scene parsers (ADE20K)."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F
from transformers import SegformerForSemanticSegmentation, SegformerImageProcessor

from cfray.errors import UserError
from cfray.generate.config import MaskConfig
from cfray.generate.stage import revision_of, use_device
from cfray.world.models import model_path

# Label names of the ATR clothes parser that are the body itself; clothes, hat and bag are context.
BODY = ("Hair", "Face", "Left-leg", "Right-leg", "Left-arm", "Right-arm")
# Bare skin, for reading its colour; the rest of a body label may be covered.
SKIN = ("Face", "Left-arm", "Right-arm")
FACE = ("Face",)
BACKGROUND = "Background"
PERSON = "person"


class PersonParser:
    """Labels every pixel of a picture, and knows which labels are a person, the region to repaint, a face or skin."""

    def __init__(self, config: MaskConfig):
        self.device = use_device(config)
        path = model_path(config.model)
        try:
            model = SegformerForSemanticSegmentation.from_pretrained(
                path, dtype=getattr(torch, config.dtype), use_safetensors=True, revision=config.revision
            )
            self.processor = SegformerImageProcessor.from_pretrained(path, revision=config.revision)
        except OSError as error:
            raise UserError(f"model {config.model!r} cannot be loaded: {str(error).splitlines()[0]}") from None
        self.model = model.to(self.device).eval()
        self.revision = revision_of(config)
        names = self.model.config.id2label
        self.region = region_labels(names, config.region)
        self.person = region_labels(names, "person")
        self.face = [number for number, name in names.items() if name in FACE]
        self.skin = [number for number, name in names.items() if name in SKIN]

    @torch.inference_mode()
    def label_map(self, picture: np.ndarray) -> np.ndarray:
        """The label number of each pixel, int64 (h, w), of a uint8 picture (h, w, 3)."""
        inputs = self.processor(images=picture, return_tensors="pt").to(self.device, self.model.dtype)
        logits = F.interpolate(
            self.model(**inputs).logits.float(), size=picture.shape[:2], mode="bilinear", align_corners=False
        )
        return logits[0].argmax(dim=0).cpu().numpy()


def region_labels(id2label: dict[int, str], region: str) -> list[int]:
    """The label numbers of a region: ``body`` the body parts; ``person`` the label of that name or, in a parser of clothes,
    everything but the background.

    Raises:
        UserError: if the parser has none of the body's label names.
    """
    if region == "person":
        # ADE20K and COCO list a class with its synonyms: "person, individual, someone".
        whole = [number for number, name in id2label.items() if name.lower().split(",")[0].strip() == PERSON]
        return whole or [number for number, name in id2label.items() if name != BACKGROUND]
    labels = [number for number, name in id2label.items() if name in BODY]
    if not labels:
        raise UserError(f"the parser's labels ({', '.join(id2label.values())}) name no body part; use masks.region=person")
    return labels
