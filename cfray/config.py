"""The typed configuration of every job: YAML files with ``key.sub=value`` overrides; unknown keys are refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cfray.errors import UserError


class Config(BaseModel):
    """Base of all configurations: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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


class LossConfig(Config):
    """L = beta_clip * L_CLIP + beta_cf * L_cf + anchor_text * L_text + anchor_image * L_image.

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


class TrainConfig(Config):
    """``jobs/train.py``: fine-tune ``model`` on the sets at ``data``; checkpoints and curves go to ``output``."""

    output: str
    data: str
    model: str
    loss: LossConfig = LossConfig()
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


class BuildWorldConfig(Config):
    """``jobs/build_world.py``: train the embedded world's models; ``work`` holds checkpoints, ``output`` the results."""

    work: str
    output: str
    threads: int = Field(2, ge=1)
    biased_pairs: int = Field(16000, ge=256)
    autoencoder_steps: int = Field(ge=1)
    text_to_image_steps: int = Field(ge=1)
    parser_steps: int = Field(ge=1)
    reader_steps: int = Field(ge=1)
    clip_steps: int = Field(ge=1)
    measured_sets: int = Field(96, ge=1, description="counterfactual sets made to measure the painter")


class DemoConfig(Config):
    """``jobs/demo.py``: the three jobs in a row over the embedded world. Their places follow from ``output``."""

    output: str
    generate: dict[str, Any]
    train: dict[str, Any]
    evaluate: dict[str, Any]


C = TypeVar("C", bound=Config)


def load_config(kind: type[C], path: str | None, overrides: list[str]) -> C:
    """Read a configuration of ``kind`` from a YAML file and overrides such as ``train.steps=10``.

    Raises:
        UserError: if the file is missing or no YAML mapping, an override has no ``=``, or a key or value is refused.
    """
    data: dict[str, Any] = {}
    if path is not None:
        if not Path(path).is_file():
            raise UserError(f"configuration file {path!r} not found; the shipped ones are in jobs/configs")
        loaded = yaml.safe_load(Path(path).read_text())
        if not isinstance(loaded, dict):
            raise UserError(f"configuration file {path!r} is not a mapping of keys to values")
        data = loaded
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise UserError(f"override {override!r} has no '='; write key.sub=value")
        _set(data, key, yaml.safe_load(value))
    return build_config(kind, data)


def build_config(kind: type[C], data: dict[str, Any]) -> C:
    """Validate ``data`` as a ``kind``.

    Raises:
        UserError: one line that names the first refused key, its value and what is allowed.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise UserError(_explain(kind, error)) from None


def config_hash(config: Config) -> str:
    """Twelve hexadecimal digits that name a configuration."""
    return hash_of(config.model_dump(mode="json"))


def hash_of(data: dict[str, Any]) -> str:
    """Twelve hexadecimal digits of plain data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]


def _set(data: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise UserError(f"override {dotted!r} goes into {parent!r}, which is a single value")
    data[last] = value


def _explain(kind: type[Config], error: ValidationError) -> str:
    # A misspelt key comes before the missing one that it was to be.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown configuration key {place!r}; known here: {', '.join(_model_at(kind, first['loc'][:-1]).model_fields)}"
    if first["type"] == "union_tag_invalid":
        return f"configuration key {place}.kind={first['ctx']['tag']!r} is unknown; known are {first['ctx']['expected_tags']}"
    if first["type"] == "union_tag_not_found":
        return f"configuration key {place} has no kind; give {place}.kind=..."
    if first["type"] == "missing":
        return f"configuration key {place!r} is missing; give {place}=..."
    return f"configuration key {place}={first['input']!r}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def _model_at(kind: type[Config], location: tuple[int | str, ...]) -> type[BaseModel]:
    """The model that a pydantic error location ends in; it has field names, list indices and the kinds of unions."""
    models = [kind]
    for part in location:
        if isinstance(part, int):
            continue
        tagged = [model for model in models if "kind" in model.model_fields]
        chosen = [model for model in tagged if part in get_args(model.model_fields["kind"].annotation)]
        fields = [model.model_fields[part].annotation for model in models if part in model.model_fields]
        models = chosen or [inner for annotation in fields for inner in _models_in(annotation)]
    return models[0]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Every model inside an annotation such as list[Annotated[A | B, ...]]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
