"""The typed configuration of ``jobs/classify.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cfray.config import Config


class SamplesConfig(Config):
    """Images with a class: class folders, a table beside a folder, or a Parquet file with the images in it.

    Layouts and columns as those of the benchmark ``labelled``. ``where`` takes only rows with these values.
    ``group_column`` holds true groups: of the test samples for the report, of the others with ``oracle`` only.
    """

    images: str | None = None
    labels: str | None = None
    file_column: str = "file"
    image_column: str = "image"
    class_column: str | None = Field(None, description="not needed with class folders")
    class_map: dict[str, str] = Field({}, description="class of each value of the column; other values are left out")
    group_column: str | None = None
    where: dict[str, str] = {}


class LinearBackbone(Config):
    """A linear head on frozen, cached image features of a CLIP."""

    kind: Literal["linear"] = "linear"
    clip: str


class TorchvisionBackbone(Config):
    """A torchvision model; ``weights`` is a .safetensors file or an entry such as DEFAULT, None starts at random."""

    kind: Literal["torchvision"] = "torchvision"
    name: str
    weights: str | None = None
    size: int = Field(224, ge=16)


class TimmBackbone(Config):
    """A timm model; ``weights`` is a .safetensors file or ``pretrained``, None starts at random."""

    kind: Literal["timm"] = "timm"
    name: str
    weights: str | None = None
    size: int = Field(224, ge=16)


BackboneConfig = Annotated[LinearBackbone | TorchvisionBackbone | TimmBackbone, Field(discriminator="kind")]


class GroupsConfig(Config):
    """How groups are inferred: by attribute prompts, or without ``prompts`` by clusters of what is seen beside the class.

    ``method`` and ``n_groups`` as ``PromptGroups`` has them. Several attributes give groups by their combinations.
    """

    clip: str
    prompts: str | None = None
    attributes: list[str] = []
    method: Literal["argmax", "kmeans", "gmm"] = "kmeans"
    n_groups: int | None = Field(None, ge=2)

    @model_validator(mode="after")
    def _prompts_with_attributes(self) -> GroupsConfig:
        if bool(self.attributes) != (self.prompts is not None):
            raise ValueError("prompts and attributes go together: give both, or neither for clusters without prompts")
        return self


class MethodConfig(Config):
    """One way to train. ``groups`` are those of its cells (class x group); ERM and JTT need none.

    ``augment`` adds to draws from weak cells, those with less than an equal share of the samples: standard augmentation of
    their images, or counterfactual sets of the class's concept whose person is inferred to be of the cell's group.
    """

    name: str
    mode: Literal["erm", "resample", "penalty", "jtt"]
    groups: Literal["inferred", "true", "random"] = "inferred"
    augment: list[Literal["standard", "counterfactuals"]] = []
    parity: Literal["equal_opportunity", "equalised_odds", "accuracy_parity"] = "equalised_odds"
    penalty: float = Field(1.0, gt=0, description="lambda of mode penalty")


ERM = MethodConfig(name="ERM", mode="erm")
CLIP_GROUPS = MethodConfig(name="CLIP groups", mode="resample")
DEFAULT_METHODS = [
    ERM,
    CLIP_GROUPS,
    MethodConfig(name="CLIP groups, augmented", mode="resample", augment=["standard"]),
    MethodConfig(name="correlation penalty", mode="penalty"),
    MethodConfig(name="random groups", mode="resample", groups="random"),
    MethodConfig(name="JTT", mode="jtt"),
]


class CounterfactualsConfig(Config):
    """A data set of ``jobs/generate.py`` for augmentation.

    ``classes`` maps a class to what its images show: a concept of the data set, or where ``axis`` is given a value of that
    appearance axis. A class that is left out is its own name.
    """

    data: str
    classes: dict[str, str] = {}
    axis: str | None = None


class FittingConfig(Config):
    """How every method is fitted.

    ``step_size`` is that of the multiplicative update of cell weights after an epoch. JTT trains ``jtt_epochs`` epochs,
    then draws the samples it gets wrong ``jtt_weight`` times as often.
    """

    epochs: int = Field(40, ge=1)
    batch: int = Field(64, ge=2, description="over all workers")
    learning_rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    step_size: float = Field(0.05, ge=0)
    augment_share: float = Field(0.5, gt=0, le=1, description="of the draws from weak cells")
    views: int = Field(4, ge=1, description="augmented views of an image, where features are frozen")
    jtt_epochs: int = Field(5, ge=1)
    jtt_weight: float = Field(5.0, ge=1)


class ClassifyConfig(Config):
    """``jobs/classify.py``: train a classifier by every one of ``methods`` and ``seeds`` and report its fairness to ``output``.

    Without ``validation`` a ``validation_share`` of the training samples is held out for it. ``positive`` is the class that
    equal opportunity and equalised odds are about. True groups are read in training only with ``oracle``.
    """

    output: str
    train: SamplesConfig
    test: SamplesConfig
    validation: SamplesConfig | None = None
    validation_share: float = Field(0.2, gt=0, lt=1)
    backbone: BackboneConfig
    groups: GroupsConfig
    counterfactuals: CounterfactualsConfig | None = None
    methods: list[MethodConfig] = Field(DEFAULT_METHODS, min_length=1)
    fitting: FittingConfig = FittingConfig()
    positive: str | None = None
    oracle: bool = False
    seeds: list[int] = Field([0, 1, 2], min_length=1)
    cache: str = Field("runs/embeddings", description="place of the embeddings, shared by all runs")
    workers: int = Field(1, ge=1)
    cpus_per_worker: float = Field(1, gt=0)
    gpus_per_worker: float = Field(0, ge=0)
    max_failures: int = Field(2, ge=0)
