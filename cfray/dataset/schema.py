"""The schema of a data set: one row is one counterfactual set (a base image, its mask, K variants, one caption)."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

KEPT = "kept"

# The Hugging Face ``Image`` layout, so that ``datasets`` and Ray decode it as it is.
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
# What a CLIP read on one axis: the likeliest value, and the probability of the requested one.
AXIS_READ = pa.struct([("axis", pa.string()), ("value", pa.string()), ("requested_probability", pa.float64())])
# Null is what was not measured. context_drift is in levels of 255 outside the mask, ita in degrees, sharpness a share of
# the base's, hash_distance in bits of 64 to the nearest sibling.
VARIANT_CHECKS = pa.struct(
    [
        ("skin_tone_read", pa.int32()), ("gender_read", pa.string()), ("person_iou", pa.float64()),
        ("context_drift", pa.int32()), ("ita", pa.float64()), ("skin_tone_pixels", pa.int32()), ("sharpness", pa.float64()),
        ("hash_distance", pa.int32()), ("concept_similarity", pa.float64()), ("clip_read", pa.list_(AXIS_READ)),
        ("unsafe", pa.bool_()),
    ]
)  # fmt: skip
SET_CHECKS = pa.struct(
    [
        ("mask_area", pa.float64()), ("people", pa.int32()), ("cropped", pa.bool_()), ("sharpness", pa.float64()),
        ("concept_similarity", pa.float64()), ("unsafe", pa.bool_()), ("imbalance", pa.float64()),
    ]
)  # fmt: skip
MODEL = pa.struct([("id", pa.string()), ("revision", pa.string())])
ROLES = ("base", "mask", "inpaint", "skin_tone_reader", "gender_reader", "clip", "safety_checker", "captions")


def set_schema(axes: list[str]) -> pa.Schema:
    """The Arrow schema of a plan and of the data set made from it; ``axes`` name the fields of ``attributes``.

    A plan has the same columns as a data set, with no image yet and an empty status.
    """
    variant = pa.struct(
        [
            ("image", IMAGE),
            ("attributes", pa.struct([(axis, pa.string()) for axis in axes])),
            ("prompt", pa.string()),
            ("seed", pa.int64()),
            ("checks", VARIANT_CHECKS),
            ("status", pa.string()),
        ]
    )
    return pa.schema(
        [
            ("set_id", pa.string()),
            ("recipe", pa.string()),
            ("seed", pa.int64()),
            ("concept", pa.string()),
            ("caption", pa.string()),
            ("prompt", pa.string()),
            ("base", IMAGE),
            ("mask", IMAGE),
            ("variants", pa.list_(variant)),
            ("checks", SET_CHECKS),
            ("status", pa.string()),
            ("error", pa.string()),
            ("attempts", pa.int32()),
            ("models", pa.struct([(role, MODEL) for role in ROLES])),
        ]
    )


def huggingface_metadata(schema: pa.Schema) -> dict[str, str]:
    """Schema metadata by which Hugging Face ``datasets`` knows which columns are images."""
    features = {field.name: _feature(field.type) for field in schema}
    return {"huggingface": json.dumps({"info": {"features": features}})}


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if kind == IMAGE:
        return {"_type": "Image"}
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    # Arrow says "double"; datasets names types as NumPy does.
    return {"dtype": "float64" if pa.types.is_float64(kind) else str(kind), "_type": "Value"}


def new_set_id(concept: str, caption: str, seed: int, recipe: str) -> str:
    """Sixteen hexadecimal digits that name a set by what determines it."""
    return hashlib.sha256("\x1f".join((concept, caption, str(seed), recipe)).encode()).hexdigest()[:16]


def derived_seed(*parts: Any) -> int:
    """A seed in [0, 2^63) from a hash of ``parts``; it depends on nothing else, least of all on the batch."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def encode_png(picture: np.ndarray) -> dict[str, Any]:
    """An ``IMAGE`` of a uint8 picture (h, w, 3) or of a bool mask (h, w), which is stored with 1 bit a pixel."""
    image = Image.fromarray(picture) if picture.dtype != bool else Image.fromarray(picture.astype(np.uint8) * 255).convert("1")
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return {"bytes": stream.getvalue(), "path": None}


def decode_picture(image: dict[str, Any]) -> np.ndarray:
    """The picture of an ``IMAGE``, uint8 (h, w, 3), writable."""
    return np.array(Image.open(io.BytesIO(image["bytes"])).convert("RGB"))


def decode_mask(image: dict[str, Any]) -> np.ndarray:
    """The mask of an ``IMAGE``, bool (h, w)."""
    return np.asarray(Image.open(io.BytesIO(image["bytes"])).convert("1"))
