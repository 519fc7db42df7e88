"""Model cards of the world's models: what each is, how it was trained, how long, and what was measured."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from cfray.world.build.loop import seconds_of

# Measured share: goal. A missed goal is said in the card.
GOALS = {"profession_readable": 0.9, "skin_tone_within_one": 0.9, "gender_as_asked": 0.9, "mask_iou": 0.9}

# The trainings that make up the painter.
PAINTER_PARTS = ("autoencoder", "text-to-image", "text-to-image-portraits", "decoder")


def write_cards(
    output: Path, work: Path, on_renders: dict[str, float], painted: dict[str, float], clip: dict[str, Any]
) -> list[str]:
    """Write ``README.md`` and ``quality.json`` into each model's folder and return one line per model.

    Args:
        output: the folder of all models.
        work: where the training left its curves.
        on_renders, painted: from ``cfray.generate.quality``.
        clip: the measurement of the CLIP by the world's benchmarks.
    """
    portraits = clip["fairness"]["portraits"]
    skew = {
        f"{attribute}_{metric}_{what}": row["uniform"][what]
        for attribute, summary in portraits.items()
        for metric, row in summary.items()
        if metric.startswith("maxskew@")
        for what in ("value", "floor")
    }
    measured = {
        "text-to-image": painted,
        "parser": {"mask_iou": on_renders["mask_iou"]},
        "clip": clip["accuracy"] | skew,
        "skin-tone-reader": {"skin_tone_within_one": on_renders["skin_tone_within_one"]},
        "gender-reader": {"gender_as_asked": on_renders["gender"]},
        "profession-classifier": {"accuracy": on_renders["profession"]},
    }
    lines = []
    for name, quality in measured.items():
        parts = PAINTER_PARTS if name == "text-to-image" else (name,)
        seconds = sum(seconds_of(work, part) for part in parts)
        (output / name / "quality.json").write_text(
            json.dumps({"training_seconds": round(seconds), **quality}, indent=2) + "\n"
        )
        (output / name / "README.md").write_text(_card(name, quality, seconds, [work / f"{part}.jsonl" for part in parts]))
        lines.append(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in quality.items()))
    return lines


def _card(name: str, quality: dict[str, float], seconds: float, curves: list[Path]) -> str:
    texts = yaml.safe_load(resources.files("cfray.world").joinpath("data/cards.yaml").read_text())
    rows = "\n".join(f"| {key} | {value:.3f} | {_goal(key, value)} |" for key, value in quality.items())
    steps = "; ".join(_last(curve) for curve in curves)
    return (
        f"# {name}\n\n{texts[name].strip()}\n\nTrained by `jobs/build_world.py` from the renders of `cfray/world` and nothing "
        f"else: {steps}; {seconds / 60:.0f} minutes on two shared CPU cores. Weights are float16 safetensors.\n\n"
        f"| measured on held-out seeds | value | goal |\n| --- | --- | --- |\n{rows}\n"
    )


def _last(curve: Path) -> str:
    row = json.loads(curve.read_text().splitlines()[-1])
    return f"{curve.stem} {row['step']} steps, last training loss {row['loss']:.3f}"


def _goal(key: str, value: float) -> str:
    if key not in GOALS:
        return ""
    goal = GOALS[key]
    return f"at least {goal}: met" if value >= goal else f"at least {goal}: missed by {goal - value:.3f}"
