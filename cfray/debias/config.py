"""The typed configuration of ``jobs/debias.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cfray.config import Config


class PublishedForm(Config):
    """Joint debiasing as arXiv 2411.12785 has it.

    ``alignment`` and ``counterfactual`` weigh L_ba and L_cd: 0.7 and 0.3 as published, 0 leaves a term out. ``sign`` is
    that of the residuals. ``image_counterfactuals`` also swaps images, where the pictures are counterfactual sets.
    """

    alignment: float = Field(0.7, ge=0)
    counterfactual: float = Field(0.3, ge=0)
    temperature: float = Field(0.07, gt=0)
    queue: int = Field(65536, ge=0)
    batch: int = Field(512, ge=2)
    epochs: int = Field(100, ge=1)
    validate_every: int = Field(2, ge=1, description="epochs")
    patience: int = Field(10, ge=1, description="validations without a better ABLE")
    learning_rate: float = Field(5e-6, gt=0)
    hidden_image: int = Field(512, ge=1)
    hidden: int = Field(1024, ge=1)
    sign: Literal[1, -1] = 1
    momentum: float = Field(0.995, ge=0, lt=1)
    momentum_share: float = Field(0.4, ge=0, le=1)
    momentum_from_epoch: int = Field(5, ge=0)
    swap: float = Field(0.5, ge=0, le=1, description="probability of the twin's caption")
    image_counterfactuals: bool = True
    dtype: Literal["float32", "bfloat16"] = "float32"
    tile: int = Field(4096, ge=1)
    seed: int = 0


class GatedForm(Config):
    """Joint debiasing in cfray's form.

    ``balance`` weighs how much appearance may count in a neutral text, ``proximity`` how far a text may move.
    ``image_counterfactuals`` balances within counterfactual sets, where the pictures are such, instead of over groups.
    """

    rank: int = Field(8, ge=1, description="per attribute")
    temperature: float = Field(0.07, gt=0)
    balance: float = Field(20.0, ge=0)
    proximity: float = Field(10.0, ge=0)
    batch: int = Field(256, ge=4, description="texts")
    images: int = Field(2048, ge=2, description="per step")
    steps: int = Field(400, ge=1)
    learning_rate: float = Field(1e-2, gt=0)
    image_counterfactuals: bool = True
    seed: int = 0


class JointConfig(Config):
    """Joint debiasing: which ``form``, and the numbers of each."""

    kind: Literal["joint"] = "joint"
    form: Literal["gated", "published"] = "gated"
    gated: GatedForm = GatedForm()
    published: PublishedForm = PublishedForm()


class ClipClipConfig(Config):
    """CLIP-clip; ``kept`` None keeps the published share, 400 of 512."""

    kind: Literal["clip_clip"] = "clip_clip"
    kept: int | None = Field(None, ge=1)
    seed: int = 0


class BiasedPromptsConfig(Config):
    """Biased prompts; ``regularisation`` is lambda."""

    kind: Literal["biased_prompts"] = "biased_prompts"
    regularisation: float = Field(1000.0, ge=0)


class ClosedFormConfig(Config):
    """The closed form has nothing to choose."""

    kind: Literal["closed_form"] = "closed_form"


MethodConfig = Annotated[JointConfig | ClipClipConfig | BiasedPromptsConfig | ClosedFormConfig, Field(discriminator="kind")]


class PicturesConfig(Config):
    """Pictures: a CSV ``table``, a ``utkface`` folder, a data set of counterfactual ``sets``, or a ``folder`` without labels;
    one of them.

    ``where`` keeps the rows of a table with these values, for example {split: train}. ``inferred`` names the values of
    attributes without labels, for example {gender: [Male, Female]}, which the CLIP itself tells apart by ``inference``.
    """

    table: str | None = None
    utkface: str | None = None
    sets: str | None = None
    folder: str | None = None
    labels: list[str] = Field([], description="labels to read; captions name them all")
    where: dict[str, str] = {}
    inferred: dict[str, list[str]] = {}
    inference: Literal["argmax", "kmeans"] = "argmax"


class ReferenceConfig(Config):
    """Pictures with one class each, whose zero-shot accuracy stands in ABLE when states of a fit are compared."""

    table: str
    label: str
    where: dict[str, str] = {}
    templates: list[str] = ["a photo of {}"]


class DebiasConfig(Config):
    """``jobs/debias.py``: fit a method on a frozen CLIP and write the debiased model to ``output``.

    ``model`` is any CLIP; with ``tuned`` it is the CFalpha blend of the two at ``alpha``.
    """

    output: str
    model: str
    tuned: str | None = None
    alpha: float = Field(1.0, ge=0, le=1)
    method: MethodConfig = JointConfig()
    pictures: PicturesConfig
    attributes: list[str]
    texts: str = "debias-faces"
    reference: ReferenceConfig | None = None
    validation_share: float = Field(0.1, gt=0, lt=1, description="of the pictures, where a reference is given")
    cache: str = Field("runs/embeddings", description="place of the embeddings, shared by all runs")
    num_cpus: float = Field(1, gt=0)
    num_gpus: float = Field(0, ge=0)
    seed: int = Field(0, description="of the held-out pictures; a method has its own")
