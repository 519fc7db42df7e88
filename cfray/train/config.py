"""The typed configuration of ``jobs/train.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cfray.config import Config


class LossConfig(Config):
    """L = beta_clip * L_CLIP + beta_cf * L_cf + anchor_text * L_text + anchor_image * L_image (+ rehearsal).

    ``clip_form``: L_CLIP as softmax or as sigmoid (SigLIP). ``clip_targets``: how siblings of one set count in it
    (multi_positive, one_per_set or plain). ``form``: the form of L_cf, ``temperature`` its temperature. ``anchor_text``
    holds the embeddings of captions that name appearance, ``anchor_image`` the mean embedding of each set's images, where
    the original model had them. ``logit_bias`` is where the sigmoid form begins for a model that has none.
    """

    beta_clip: float = Field(1.0, ge=0)
    beta_cf: float = Field(1.0, ge=0)
    form: Literal["supcon", "infonce", "cosine"] = "supcon"
    temperature: float = Field(0.1, gt=0)
    clip_form: Literal["softmax", "sigmoid"] = "softmax"
    clip_targets: Literal["multi_positive", "one_per_set", "plain"] = "multi_positive"
    logit_bias: float = -10.0
    anchor_text: float = Field(0.0, ge=0)
    anchor_image: float = Field(0.0, ge=0)
    tile: int | None = Field(
        None, ge=1, description="rows and columns of a tile of similarities; none: the whole matrix at once"
    )


class LoraConfig(Config):
    """Low-rank updates W + alpha / rank * B A (arXiv 2106.09685) of the linear maps of ``towers``; used with trainable=lora."""

    rank: int = Field(8, ge=1)
    alpha: float = Field(16.0, gt=0)
    towers: Literal["both", "image", "text"] = "both"


class RehearsalConfig(Config):
    """Ordinary pictures that hold the model where counterfactual sets do not reach.

    ``data`` is a folder of Parquet files with a Hugging Face ``Image`` column ``image`` and, for pairs, a column
    ``caption``; or of WebDataset shards (.tar) with an image and a .txt per sample. ``form``: ``embedding`` adds 1 - cosine
    between each picture's embedding and the original model's, ``pairs`` L_CLIP between pictures and their captions.
    """

    data: str
    form: Literal["embedding", "pairs"] = "embedding"
    weight: float = Field(100.0, gt=0)
    images_per_step: int = Field(64, ge=1, description="over all workers")


class AugmentConfig(Config):
    """What is done to pictures at random. ``alike``: all images of a set alike, so that they differ in the person only.

    ``crop_area`` is the least share of the picture that a random crop keeps; ``flip_share`` of the draws are mirrored;
    brightness, contrast and saturation change by a factor of up to 1 +- ``color``.
    """

    crop_area: float = Field(1.0, gt=0, le=1)
    flip_share: float = Field(0.0, ge=0, le=1)
    color: float = Field(0.0, ge=0, lt=1)
    alike: bool = True


class ProbeConfig(Config):
    """An accuracy that is watched during training, at step 0 and at every row of the curve.

    ``data`` as in ``rehearsal``. ``retrieval``: R@``k`` of the captions, both directions; ``zero_shot``: the captions are names
    of classes, and the accuracy is top-1 with the prompt "a photo of a NAME.".
    """

    name: str
    kind: Literal["zero_shot", "retrieval"]
    data: str
    k: int = Field(5, ge=1)
    max_pictures: int = Field(5000, ge=2, description="the first ones of the data")


class ComputeConfig(Config):
    """How the arithmetic is done. Weights, optimizer and losses stay in float32 in every setting."""

    precision: Literal["fp32", "bf16"] = "fp32"
    tf32: bool = False
    compile: bool = False
    gradient_checkpointing: bool = False
    channels_last: bool = False


class LogConfig(Config):
    """Where curves go, every ``every`` steps: TensorBoard files below the output; MLflow and Weights & Biases on request."""

    every: int = Field(10, ge=1)
    tensorboard: bool = True
    mlflow: str | None = Field(None, description="tracking URI")
    wandb: str | None = Field(None, description="project")


class TrainConfig(Config):
    """``jobs/train.py``: fine-tune ``model`` on the sets at ``data``; checkpoints and curves go to ``output``."""

    output: str
    data: str
    model: str
    loss: LossConfig = LossConfig()
    rehearsal: list[RehearsalConfig] = []
    trainable: Literal["both", "image", "text", "lora"] = "both"
    lora: LoraConfig = LoraConfig()
    locked: list[str] = Field([], description="prefixes of names of parameters that stay as they are")
    steps: int = Field(100, ge=1)
    sets_per_batch: int = Field(32, ge=2, description="over all workers")
    chunks: int = Field(1, ge=1, description="forward passes that a worker's batch is cut into, by gradient caching")
    images_per_set: int = Field(4, ge=1, description="of the base and its variants, drawn anew each time; 1: the base alone")
    zoom_share: float = Field(0.0, ge=0, le=1, description="of draws that are cropped around the person, a set's images alike")
    bare_caption_share: float = Field(0.0, ge=0, le=1, description="of draws captioned 'a photo of a CONCEPT' and no more")
    augment: AugmentConfig = AugmentConfig()
    learning_rate: float = Field(1e-5, gt=0)
    weight_decay: float = Field(0.1, ge=0)
    warmup: int = Field(10, ge=0)
    clip_gradient: float = Field(1.0, gt=0)
    ema: float | None = Field(None, gt=0, lt=1, description="decay of an average of the weights, which is the result then")
    probes: list[ProbeConfig] = []
    max_accuracy_lost: float | None = Field(None, gt=0, description="of any probe, as a fraction; more stops the run")
    max_bad_steps: int = Field(10, ge=0, description="steps without a finite gradient, which are skipped; more stop the run")
    compute: ComputeConfig = ComputeConfig()
    checkpoint_every: int = Field(25, ge=1, description="steps")
    checkpoint_minutes: float | None = Field(None, gt=0, description="write one after so many minutes as well")
    keep_checkpoints: int = Field(2, ge=1, description="the newest ones; the best weights are kept besides")
    blends: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        [], description="alpha of blends with the original model to write beside the checkpoint"
    )
    huggingface: bool = Field(
        True, description="write a transformers CLIPModel folder as well where the architecture allows it"
    )
    log: LogConfig = LogConfig()
    workers: int = Field(1, ge=0, description="processes of Ray Train; 0: the process that calls, as a trial of a sweep does")
    cpus_per_worker: float = Field(1, gt=0)
    gpus_per_worker: float = Field(0, ge=0)
    loader_threads: int = Field(2, ge=1, description="per worker, decoding the next batches")
    max_failures: int = Field(2, ge=0)
    seed: int = 0
