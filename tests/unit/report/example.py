"""A made-up result and gallery with the schema of result.json, every number from a formula."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

from cfray.report import GallerySet, GalleryVariant

K = 100
ALPHAS = [round(0.1 * i, 1) for i in range(11)]
RECOMMENDED = 0.7

# (benchmark, attribute) -> (skew of the original model, share of it above the floor that α = 1 removes)
SKEWS = {
    ("portraits", "gender"): (0.43, 0.90), ("portraits", "skin_tone"): (0.61, 0.84),
    ("portraits_held_out", "gender"): (0.38, 0.66), ("portraits_held_out", "skin_tone"): (0.52, 0.58),
    ("people_in_scenes", "gender"): (0.34, 0.72), ("people_in_scenes", "skin_tone"): (0.47, 0.63),
    ("people_in_scenes_held_out", "gender"): (0.31, 0.52), ("people_in_scenes_held_out", "skin_tone"): (0.40, 0.44),
}  # fmt: skip
# accuracy -> (of the original model, loss at α = 1)
ACCURACIES = {
    "zero_shot_things": (0.902, 0.012), "zero_shot_professions": (0.914, 0.021), "recall@5_text_to_image": (0.847, 0.016),
    "recall@5_image_to_text": (0.861, 0.009), "recall@5_appearance": (0.633, 0.118),
}  # fmt: skip
FLOORS = {"gender": 0.06, "skin_tone": 0.11}
SCALES = {"maxskew": 1.0, "minskew": -1.4, "ndkl": 0.35}


def example_result() -> dict:
    """A result as ``jobs/demo.py`` writes it."""
    return {
        "schema": 1,
        "sets": {
            "planned": 480, "kept": 391, "failed": 2,
            "rejected": {"skin_tone": 41, "gender": 17, "profession_lost": 22, "mask_too_small": 7},
        },
        "models": {
            "text_to_image": {"id": "world/text-to-image", "revision": "4f1c0a9e"},
            "inpainting": {"id": "world/text-to-image", "revision": "4f1c0a9e"},
            "person_parser": {"id": "world/parser", "revision": "b20d7715"},
            "attribute_reader": {"id": "world/reader", "revision": "09e2ac41"},
            "clip": {"id": "world/clip", "revision": "77d03b6f"},
        },
        "alphas": [
            {"alpha": alpha, "fairness": _fairness(alpha), "accuracy": {k: _accuracy(k, alpha) for k in ACCURACIES}}
            for alpha in ALPHAS
        ],
        "recommended_alpha": RECOMMENDED,
        "checkpoint": "runs/demo/clip-alpha-0.7",
        "accuracy_budget": 0.01,
        "seconds": {"plan": 0.4, "generate": 268.1, "train": 141.7, "blend": 3.2, "evaluate": 74.5},
    }  # fmt: skip


def example_gallery() -> list[GallerySet]:
    """Three sets of 64-pixel images; the last has a rejected variant and one that was never made."""
    looks = ["a young woman with pale skin and red hair", "an old man with very dark skin and grey hair"]
    looks += ["a middle-aged woman with brown skin and black hair", "a young man with tan skin and brown hair"]
    kept = [GalleryVariant(png(shade), words, "kept") for shade, words in enumerate(looks)]
    mixed = [*kept[:2], GalleryVariant(png(8), looks[2], "rejected:skin_tone"), GalleryVariant(b"", looks[3], "failed:timeout")]
    return [
        GallerySet("a doctor in a white coat on a hospital ward, holding a stethoscope", "doctor", png(20), png(30), kept),
        GallerySet("a farmer in blue dungarees in a farmyard, holding a pitchfork", "farmer", png(21), png(31), kept),
        GallerySet("a judge in a black robe in a courtroom, holding a gavel", "judge", png(22), png(32), mixed),
    ]


def png(seed: int, width: int = 64, height: int = 64) -> bytes:
    """A smooth coloured pattern, another one for every seed."""
    y, x = np.mgrid[0:height, 0:width] / 64
    channels = [np.sin(6 * x + seed), np.cos(5 * y + 2 * seed), np.sin(4 * (x + y) + 3 * seed)]
    buffer = io.BytesIO()
    Image.fromarray(np.uint8(127.5 + 127.5 * np.stack(channels, axis=-1))).save(buffer, "PNG")
    return buffer.getvalue()


def _fairness(alpha: float) -> dict:
    table: dict = {}
    for (benchmark, attribute), (skew, removed) in SKEWS.items():
        metrics = table.setdefault(benchmark, {}).setdefault(attribute, {})
        for family, scale in SCALES.items():
            metrics[f"{family}@{K}"] = {
                "uniform": _measure(skew, removed, FLOORS[attribute], scale, alpha),
                "pool": _measure(0.9 * skew, removed, 0.6 * FLOORS[attribute], scale, alpha),
            }
    return table


def _measure(skew: float, removed: float, floor: float, scale: float, alpha: float) -> dict[str, float]:
    gone = removed * (1 - math.exp(-2.5 * alpha)) / (1 - math.exp(-2.5))
    value = floor + (skew - floor) * (1 - gone)
    half = 0.02 + 0.06 * value
    ends = sorted((scale * (value - half), scale * (value + half)))
    return {"value": scale * value, "low": ends[0], "high": ends[1], "floor": scale * floor}


def _accuracy(name: str, alpha: float) -> float:
    start, loss = ACCURACIES[name]
    return start - loss * alpha**2 + 0.003 * math.sin(math.pi * alpha)
