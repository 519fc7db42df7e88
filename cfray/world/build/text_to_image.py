"""Trains the UNet and its CLIP text encoder to paint scenes from captions, in the autoencoder's latents."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from cfray.world.build.loop import draw, fit, mixed_precision
from cfray.world.build.tokenizer import CONTEXT

WIDTH = 128
BODY_WEIGHT = 4.0


class Painter(nn.Module):
    """The two modules that are trained together."""

    def __init__(self, tokenizer: CLIPTokenizer):
        super().__init__()
        self.text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=WIDTH,
                intermediate_size=2 * WIDTH,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=CONTEXT,
                projection_dim=WIDTH,
                eos_token_id=tokenizer.eos_token_id,
                bos_token_id=tokenizer.bos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        self.unet = UNet2DConditionModel(
            sample_size=16,
            in_channels=4,
            out_channels=4,
            layers_per_block=1,
            block_out_channels=(64, 96, 128),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=WIDTH,
            attention_head_dim=4,
            norm_num_groups=16,
        )


def new_scheduler() -> DDIMScheduler:
    """v-prediction down to zero signal, so that flat backgrounds of any colour can be painted (arXiv 2305.08891)."""
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        steps_offset=1,
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
    )


def train_painter(
    name: str,
    model: Painter,
    latents: torch.Tensor,
    bodies: torch.Tensor,
    captions: list[list[str]],
    tokenizer: CLIPTokenizer,
    work: Path,
    *,
    steps: int,
    lr: float = 1.2e-3,
    batch: int = 48,
) -> Painter:
    """Train ``model`` on scaled latents (n, 4, 16, 16) with several captions each; one caption in ten is dropped for guidance.

    The loss on v is weighted over time by min(SNR, 5) / (SNR + 1) (arXiv 2303.09556), and over the picture by
    ``bodies``, bool (n, 16, 16): the body is a tenth of the picture, and what captions of counterfactuals vary. The state
    and the curve go to ``work`` under ``name``.
    """
    scheduler = new_scheduler()
    choices = len(captions[0])
    flat = [caption for row in captions for caption in row] + [""]
    ids = tokenizer(flat, padding="max_length", truncation=True, max_length=CONTEXT, return_tensors="pt").input_ids
    signal = scheduler.alphas_cumprod
    snr = signal / (1 - signal)
    over_time = snr.clamp(max=5) / (snr + 1) + 0.02

    def step_loss(step: int, generator: torch.Generator) -> torch.Tensor:
        chosen = draw(latents, batch, generator)
        words = chosen * choices + draw(choices, batch, generator)
        words[torch.rand(batch, generator=generator) < 0.1] = len(ids) - 1
        clean = latents[chosen]
        noise = torch.randn(clean.shape, generator=generator)
        times = draw(len(signal), batch, generator)
        noisy = scheduler.add_noise(clean, noise, times)
        with mixed_precision():
            states = model.text(ids[words]).last_hidden_state
            predicted = model.unet(noisy, times, states).sample
        error = (predicted.float() - scheduler.get_velocity(clean, noise, times)).square().mean(dim=1)
        over_picture = 1 + (BODY_WEIGHT - 1) * bodies[chosen].float()
        return (over_time[times].view(-1, 1, 1) * over_picture * error).sum() / over_picture.sum()

    return fit(name, model, step_loss, work=work, steps=steps, lr=lr, warmup=100, ema_decay=0.998)


def new_pipeline(painter: Painter, autoencoder: AutoencoderKL, tokenizer: CLIPTokenizer) -> StableDiffusionPipeline:
    return StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=painter.text,
        tokenizer=tokenizer,
        unet=painter.unet,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
