"""The typed configuration of ``jobs/build_world.py``."""

from __future__ import annotations

from pydantic import Field

from cfray.config import Config


class BuildWorldConfig(Config):
    """``jobs/build_world.py``: train the embedded world's models; ``work`` holds checkpoints, ``output`` the results."""

    work: str
    output: str
    threads: int = Field(2, ge=1)
    biased_pairs: int = Field(16000, ge=256)
    autoencoder_steps: int = Field(ge=1)
    text_to_image_steps: int = Field(ge=1)
    portrait_steps: int = Field(ge=1, description="of text-to-image on scenes and portraits, after those on scenes")
    decoder_steps: int = Field(ge=1, description="of the autoencoder's decoder alone, on scenes and portraits, at the end")
    parser_steps: int = Field(ge=1)
    reader_steps: int = Field(ge=1)
    clip_steps: int = Field(ge=1)
    measured_sets: int = Field(96, ge=1, description="counterfactual sets made to measure the painter")
