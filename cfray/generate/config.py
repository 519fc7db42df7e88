"""The typed configuration of ``jobs/generate.py``.

Keys made by ``added`` came after the first data sets: at their default they leave no trace in a dump, so that a recipe
that does not use them keeps its hash, its set ids and its pictures.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from cfray.config import Config


def added(default: Any, **constraints: Any) -> Any:
    """A key that dumps leave out where it has its default."""
    return Field(default, exclude_if=lambda value: value == default, **constraints)


class ModelConfig(Config):
    """``model`` is a Hugging Face id, a local folder, or ``world:NAME`` for a model of the embedded world."""

    model: str
    revision: str | None = added(None, description="branch, tag or commit of a Hugging Face id; give a commit to pin it")


class StageConfig(ModelConfig):
    """A model stage: which model, and the pool of actors that runs it."""

    actors: int = Field(1, ge=1)
    num_cpus: float = Field(1, gt=0)
    num_gpus: float = Field(0, ge=0)
    batch_size: int = Field(4, ge=1, description="sets handed to an actor at once")
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    device: str | None = added(None, description="torch device; None: cuda where num_gpus > 0, else cpu")


class SchedulerConfig(Config):
    """A diffusers scheduler class, for example ``LCMScheduler``, with options over those of the model's own."""

    kind: str
    options: dict[str, Any] = {}


class LoraConfig(ModelConfig):
    """LoRA weights that are fused into the pipeline, for example for painting in few steps."""

    weights: str | None = Field(None, description="file in the model's folder; None: the only one")
    scale: float = Field(1.0, gt=0)


class PainterConfig(StageConfig):
    """A diffusion stage. ``size`` is the side of the square picture in pixels."""

    steps: int = Field(12, ge=1)
    guidance_scale: float = Field(3.0, ge=0)
    size: int = Field(64, ge=8)
    negative_prompt: str | None = added(None)
    images_per_call: int | None = added(
        None, ge=1, description="pictures a model call paints; None: one base image, or all variants of a set"
    )
    weights_variant: str | None = added(None, description="for example fp16: which of several files of a Hugging Face id")
    vae: str | None = added(None, description="another autoencoder, for example one that is exact in float16")
    scheduler: SchedulerConfig | None = added(None)
    lora: LoraConfig | None = added(None)
    attention_slicing: bool = added(False, description="less memory, slower")
    vae_tiling: bool = added(False, description="less memory at large sizes; tiles are blended, so pixels change a little")
    channels_last: bool = added(False, description="memory layout in which convolutions are faster; pixels change in rounding")
    compile: Literal["default", "reduce-overhead", "max-autotune"] | None = added(None, description="torch.compile of the UNet")


class CropConfig(Config):
    """Paint the surroundings of a small person at the model's full size and paste the person back.

    Applies where the mask's bounding box covers less than ``below`` of the picture; the crop is a square around the
    person with ``margin`` times the box's longer side to each side.
    """

    below: float = Field(0.15, gt=0, le=1)
    margin: float = Field(0.5, ge=0)


class InpainterConfig(PainterConfig):
    """The counterfactual stage; ``strength`` 1 repaints the region from pure noise."""

    strength: float = Field(1.0, gt=0, le=1)
    feather_px: int = added(0, ge=0, description="blend over so many pixels inside the mask's edge; outside nothing changes")
    crop: CropConfig | None = added(None)


class MaskConfig(StageConfig):
    """The person mask: ``body`` is hair, face, arms and legs and keeps the clothes; ``person`` takes all of them.

    People are told apart as connected regions of the person labels, and by faces where the parser has such a label;
    regions smaller than ``people_min_share`` of the largest do not count.
    """

    region: Literal["body", "person"] = "body"
    dilate_px: int = Field(3, ge=0)
    min_area: float = Field(0.02, ge=0, le=1, description="share of the picture; smaller is rejected")
    max_area: float = Field(0.6, ge=0, le=1, description="share of the picture; larger is rejected")
    several: Literal["all", "largest", "reject"] = added("all", description="which people are masked where there are several")
    people_min_share: float = added(0.2, gt=0, le=1)
    cropped: Literal["keep", "reject"] = added("keep", description="people whom the picture's left, right or top edge cuts")


class PersonCheckConfig(Config):
    """The person is still there: the parser of ``masks`` finds the mask again in every variant."""

    min_iou: float = Field(0.5, ge=0, le=1, description="of the variant's undilated region and the base's")


class ClipCheckConfig(ModelConfig):
    """A CLIP that reads appearances back and compares picture and caption.

    ``min_probability`` maps axes to the least probability of the requested value among the values of its axis;
    ``concept_margin`` is how far the similarity of variant and caption may fall under the base's.
    """

    min_probability: dict[str, float] = {}
    concept_margin: float | None = Field(None, ge=0)


class ChecksConfig(Config):
    """Readers that look at every variant, and the thresholds on what is measured; None leaves a check out."""

    skin_tone_reader: str | None = None
    skin_tone_tolerance: int = Field(1, ge=0, description="Monk steps")
    gender_reader: str | None = None
    person: PersonCheckConfig | None = added(None)
    skin_pixels_tolerance: int | None = added(None, ge=0, description="Monk steps, by colour inside the parser's skin labels")
    clip: ClipCheckConfig | None = added(None)
    safety_checker: str | None = added(None, description="a StableDiffusionSafetyChecker; what it flags is rejected:unsafe")
    min_sharpness: float | None = added(None, ge=0, description="of a variant's person, as a share of the base's")
    min_hash_distance: int | None = added(None, ge=0, le=64, description="bits in which variants of a set must differ")
    min_variants: int = Field(2, ge=2, description="a set with fewer kept variants is rejected")
    max_imbalance: float | None = added(
        None, ge=0, le=1, description="how far an appearance's share may fall from requested to kept variants of a set"
    )
    actors: int = added(1, ge=1)
    num_cpus: float = Field(0.2, gt=0)
    num_gpus: float = Field(0, ge=0)


class ConceptsConfig(Config):
    """``file`` is a path or the name of a shipped concepts file; ``names`` narrows it, None takes the whole split."""

    file: str
    split: Literal["trained", "held_out", "all"] = "trained"
    names: list[str] | None = None


class AppearancesConfig(Config):
    """``vary`` names the axes in which variants differ; ``sampling`` says how the ``variants`` people of a set are drawn.

    balanced: each axis spread evenly over each set. grid: all combinations, in the order of the axes (``variants`` must be
    their number). latin: a Latin square over the sets of a concept, in which every pair of the first axis and another
    comes up equally often. weighted: values with weights 1 / count of ``measured``, {axis: {value: count}}, to make up
    for an imbalance that an audit found.
    """

    file: str
    variants: int = Field(6, ge=2)
    vary: list[str] = ["gender", "skin_tone"]
    sampling: Literal["balanced", "grid", "latin", "weighted"] = added("balanced")
    measured: dict[str, dict[str, float]] | None = added(None)


class DecoratorsConfig(Config):
    """Words after the caption in the prompts of a set (base and variants alike) that vary its base image."""

    file: str = "decorators"
    use: list[str] = ["camera", "light", "framing"]


class SamplingConfig(Config):
    """How a language model writes."""

    temperature: float = Field(0.9, ge=0)
    top_p: float = Field(0.95, gt=0, le=1)
    max_tokens: int = Field(512, ge=1)


class CaptionWriterConfig(Config):
    """What every source of written captions shares: how many per concept, and how often a concept is asked again."""

    per_concept: int = Field(10, ge=1)
    max_rounds: int = Field(4, ge=1, description="times that a concept is asked before what is missing is reported")
    sampling: SamplingConfig = SamplingConfig()


class TransformersWriterConfig(CaptionWriterConfig, StageConfig):
    """An instruct model with a chat template, through transformers, in a pool of actors."""

    kind: Literal["transformers"]


class VllmWriterConfig(CaptionWriterConfig, StageConfig):
    """An instruct model through ray.data.llm and vLLM (``pip install 'cfray[vllm]'``)."""

    kind: Literal["vllm"]
    engine: dict[str, Any] = Field({}, description="engine options of vLLM, for example max_model_len")


class HttpWriterConfig(CaptionWriterConfig):
    """An OpenAI-compatible ``/chat/completions`` endpoint. ``key_env`` names the variable that holds the key."""

    kind: Literal["http"]
    url: str
    model: str
    key_env: str | None = None
    requests_per_minute: float = Field(60, gt=0)
    parallel: int = Field(4, ge=1)
    retries: int = Field(5, ge=0)
    timeout_seconds: float = Field(60, gt=0)


WriterConfig = TransformersWriterConfig | VllmWriterConfig | HttpWriterConfig


class GenerateConfig(Config):
    """``jobs/generate.py``: from concepts to a data set of counterfactual sets at ``output``."""

    output: str
    concepts: ConceptsConfig
    appearances: AppearancesConfig
    sets_per_concept: int = Field(10, ge=1)
    captions: str | None = Field(None, description="YAML file {concept: [captions]}; None: the grammar over context facets")
    write_captions: WriterConfig | None = added(None, discriminator="kind", description="captions by a language model")
    portrait_share: float = added(0.0, ge=0, le=1, description="of a concept's sets, portraits before a plain background")
    decorators: DecoratorsConfig | None = added(None)
    base: PainterConfig
    masks: MaskConfig
    inpaint: InpainterConfig
    checks: ChecksConfig = ChecksConfig()
    rows_per_file: int = Field(16, ge=1)
    seed: int = 0
    # How a run goes, not what it makes: in no record and no hash, so that they may differ from one run to the next.
    stage_by_stage: bool = Field(False, exclude=True, description="one pool after the other, for fewer GPUs than pools need")
    retry_failed: bool = Field(False, exclude=True, description="make failed sets again")
