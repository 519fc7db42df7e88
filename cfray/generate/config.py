"""The typed configuration of ``jobs/generate.py``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cfray.config import Config


class StageConfig(Config):
    """A model stage: which model, and the pool of actors that runs it.

    ``model`` is a Hugging Face id, a local folder, or ``world:NAME`` for a model of the embedded world.
    """

    model: str
    actors: int = Field(1, ge=1)
    num_cpus: float = Field(1, gt=0)
    num_gpus: float = Field(0, ge=0)
    batch_size: int = Field(4, ge=1, description="sets handed to an actor at once")
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"


class PainterConfig(StageConfig):
    """A diffusion stage. ``size`` is the side of the square picture in pixels."""

    steps: int = Field(12, ge=1)
    guidance_scale: float = Field(3.0, ge=0)
    size: int = Field(64, ge=8)


class InpainterConfig(PainterConfig):
    """The counterfactual stage; ``strength`` 1 repaints the region from pure noise."""

    strength: float = Field(1.0, gt=0, le=1)


class MaskConfig(StageConfig):
    """The person mask: ``body`` is hair, face, arms and legs and keeps the clothes; ``person`` takes all of them."""

    region: Literal["body", "person"] = "body"
    dilate_px: int = Field(3, ge=0)
    min_area: float = Field(0.02, ge=0, le=1, description="share of the picture; smaller is rejected")
    max_area: float = Field(0.6, ge=0, le=1, description="share of the picture; larger is rejected")


class ChecksConfig(Config):
    """Readers that look at every variant; None leaves a check out."""

    skin_tone_reader: str | None = None
    skin_tone_tolerance: int = Field(1, ge=0, description="Monk steps")
    gender_reader: str | None = None
    min_variants: int = Field(2, ge=2, description="a set with fewer kept variants is rejected")
    num_cpus: float = Field(0.2, gt=0)
    num_gpus: float = Field(0, ge=0)


class ConceptsConfig(Config):
    """``file`` is a path or the name of a shipped concepts file; ``names`` narrows it, None takes the whole split."""

    file: str
    split: Literal["trained", "held_out", "all"] = "trained"
    names: list[str] | None = None


class AppearancesConfig(Config):
    """``vary`` names the axes in which variants differ: the first two are balanced over a set, the others drawn."""

    file: str
    variants: int = Field(6, ge=2)
    vary: list[str] = ["gender", "skin_tone"]


class GenerateConfig(Config):
    """``jobs/generate.py``: from concepts to a data set of counterfactual sets at ``output``."""

    output: str
    concepts: ConceptsConfig
    appearances: AppearancesConfig
    sets_per_concept: int = Field(10, ge=1)
    captions: str | None = Field(None, description="YAML file {concept: [captions]}; None: the grammar over context facets")
    base: PainterConfig
    masks: MaskConfig
    inpaint: InpainterConfig
    checks: ChecksConfig = ChecksConfig()
    rows_per_file: int = Field(16, ge=1)
    seed: int = 0
