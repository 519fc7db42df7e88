"""The typed configuration of ``jobs/train.py``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cfray.config import Config


class LossConfig(Config):
    """L = beta_clip * L_CLIP + beta_cf * L_cf + anchor_text * L_text + anchor_image * L_image (+ rehearsal).

    ``clip_targets``: how siblings of one set count in L_CLIP (multi_positive, one_per_set or plain). ``form``: the
    form of L_cf. ``temperature`` is that of L_cf. ``anchor_text`` holds the embeddings of captions that name appearance,
    ``anchor_image`` the mean embedding of each set's images, where the original model had them.
    """

    beta_clip: float = Field(1.0, ge=0)
    beta_cf: float = Field(1.0, ge=0)
    form: Literal["supcon", "infonce", "cosine"] = "supcon"
    temperature: float = Field(0.1, gt=0)
    clip_targets: Literal["multi_positive", "one_per_set", "plain"] = "multi_positive"
    anchor_text: float = Field(0.0, ge=0)
    anchor_image: float = Field(0.0, ge=0)


class RehearsalConfig(Config):
    """Ordinary pictures that hold the model where counterfactual sets do not reach.

    ``data`` is a folder of Parquet files with a Hugging Face ``Image`` column ``image``. ``weight`` is that of
    1 - cosine between each picture's embedding and the original model's.
    """

    data: str
    weight: float = Field(100.0, gt=0)
    images_per_step: int = Field(64, ge=1, description="over all workers")


class TrainConfig(Config):
    """``jobs/train.py``: fine-tune ``model`` on the sets at ``data``; checkpoints and curves go to ``output``."""

    output: str
    data: str
    model: str
    loss: LossConfig = LossConfig()
    rehearsal: RehearsalConfig | None = None
    trainable: Literal["both", "image", "text"] = "both"
    steps: int = Field(100, ge=1)
    sets_per_batch: int = Field(32, ge=2, description="over all workers")
    images_per_set: int = Field(4, ge=2, description="the base and its variants, drawn anew each time")
    zoom_share: float = Field(0.0, ge=0, le=1, description="of draws that are cropped around the person, a set's images alike")
    bare_caption_share: float = Field(0.0, ge=0, le=1, description="of draws captioned 'a photo of a CONCEPT' and no more")
    learning_rate: float = Field(1e-5, gt=0)
    weight_decay: float = Field(0.1, ge=0)
    warmup: int = Field(10, ge=0)
    clip_gradient: float = Field(1.0, gt=0)
    checkpoint_every: int = Field(25, ge=1, description="steps")
    workers: int = Field(1, ge=1)
    cpus_per_worker: float = Field(1, gt=0)
    gpus_per_worker: float = Field(0, ge=0)
    max_failures: int = Field(2, ge=0)
    seed: int = 0
