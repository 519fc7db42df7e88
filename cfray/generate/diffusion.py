"""Loads diffusion pipelines as a stage's configuration says: precision, scheduler, LoRA, memory savings, compilation."""

from __future__ import annotations

import diffusers
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, SchedulerMixin

from cfray.errors import UserError
from cfray.generate.config import LoraConfig, PainterConfig, SchedulerConfig
from cfray.generate.stage import use_device
from cfray.world.models import model_path


def load_pipeline(kind: type, config: PainterConfig) -> DiffusionPipeline:
    """Load a pipeline by an ``AutoPipeline`` class onto the stage's device, safetensors only.

    Raises:
        UserError: if a model is not found or its folder is incomplete, or the scheduler or LoRA cannot be used.
    """
    device, dtype = use_device(config), getattr(torch, config.dtype)
    options = {"vae": _load_vae(config.vae, dtype)} if config.vae else {}
    try:
        pipeline = kind.from_pretrained(
            model_path(config.model), dtype=dtype, use_safetensors=True, revision=config.revision,
            variant=config.weights_variant, **options,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise UserError(f"model {config.model!r} cannot be loaded: {str(error).splitlines()[0]}") from None
    if config.scheduler is not None:
        pipeline.scheduler = new_scheduler(config.scheduler, pipeline.scheduler)
    if config.lora is not None:
        _fuse_lora(pipeline, config.lora)
    if config.attention_slicing:
        pipeline.enable_attention_slicing()
    if config.vae_tiling:
        pipeline.vae.enable_tiling()
    pipeline.set_progress_bar_config(disable=True)
    pipeline = pipeline.to(device)
    denoiser = pipeline.unet if hasattr(pipeline, "unet") else pipeline.transformer
    if config.channels_last:
        denoiser.to(memory_format=torch.channels_last)
        pipeline.vae.to(memory_format=torch.channels_last)
    if config.compile is not None:
        denoiser.compile(mode=config.compile)
    return pipeline


def new_scheduler(config: SchedulerConfig, old: SchedulerMixin) -> SchedulerMixin:
    """The configured scheduler with the noise schedule of the one that the model came with.

    Raises:
        UserError: if diffusers has no scheduler of that name.
    """
    kind = getattr(diffusers, config.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, SchedulerMixin)):
        raise UserError(f"scheduler.kind={config.kind!r} is no diffusers scheduler; give for example LCMScheduler")
    return kind.from_config(old.config, **config.options)


def _load_vae(model: str, dtype: torch.dtype) -> AutoencoderKL:
    try:
        return AutoencoderKL.from_pretrained(model_path(model), torch_dtype=dtype, use_safetensors=True)
    except OSError as error:
        raise UserError(f"autoencoder {model!r} cannot be loaded: {str(error).splitlines()[0]}") from None


def _fuse_lora(pipeline: DiffusionPipeline, config: LoraConfig) -> None:
    try:
        pipeline.load_lora_weights(
            model_path(config.model), weight_name=config.weights, revision=config.revision, use_safetensors=True
        )
    except ValueError as error:
        if "PEFT backend" in str(error):
            raise UserError("lora needs peft; pip install 'cfray[lora]'") from None
        raise UserError(f"LoRA {config.model!r} does not fit the model: {str(error).splitlines()[0]}") from None
    except OSError as error:
        raise UserError(f"LoRA {config.model!r} cannot be loaded: {str(error).splitlines()[0]}") from None
    pipeline.fuse_lora(lora_scale=config.scale)
    pipeline.unload_lora_weights()
