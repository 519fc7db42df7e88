"""Trains the AutoencoderKL: 64 x 64 x 3 pictures to 16 x 16 x 4 latents and back."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import nn

from cfray.world.build.loop import draw, fit, mixed_precision, to_float


def new_autoencoder() -> AutoencoderKL:
    model = AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(24, 48, 64), layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        norm_num_groups=8, sample_size=64, mid_block_add_attention=False,
    )  # fmt: skip
    # The posterior starts narrow (standard deviation e^-4): the decoder learns from clear latents at once.
    with torch.no_grad():
        model.quant_conv.weight[4:].zero_()
        model.quant_conv.bias[4:].fill_(-8.0)
    return model


def train_autoencoder(pictures: torch.Tensor, work: Path, *, steps: int, batch: int = 16) -> AutoencoderKL:
    """Train on uint8 pictures (n, 64, 64, 3) and set the scaling factor to 1 / (standard deviation of the latents)."""
    torch.manual_seed(11)
    model = new_autoencoder()

    def step_loss(step: int, generator: torch.Generator) -> torch.Tensor:
        inputs = to_float(pictures[draw(pictures, batch, generator)])
        with mixed_precision():
            posterior = model.encode(inputs).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=generator)
            outputs = model.decode(posterior.mean + posterior.std * noise).sample
        error = (outputs.float() - inputs).abs()
        return error.mean() + 2 * error.square().mean() + 1e-7 * posterior.kl().float().mean()

    model = fit("autoencoder", model, step_loss, work=work, steps=steps, lr=2e-3, ema_decay=0.995)
    latents = encode_pictures(model, pictures[:512])
    model.register_to_config(scaling_factor=float(1 / latents.std()))
    return model


def train_decoder(
    model: AutoencoderKL, pictures: torch.Tensor, work: Path, *, steps: int, batch: int = 16, noise: float = 0.02
) -> AutoencoderKL:
    """Train the decoder alone on uint8 pictures (n, 64, 64, 3): latents stay, so a UNet that paints in them stays valid.

    Latents get Gaussian ``noise``, since a painter's are never exact.
    """
    latents = encode_pictures(model, pictures)
    model.requires_grad_(False)
    decoder = nn.ModuleList([model.post_quant_conv, model.decoder]).requires_grad_(True)

    def step_loss(step: int, generator: torch.Generator) -> torch.Tensor:
        chosen = draw(pictures, batch, generator)
        clean = latents[chosen]
        with mixed_precision():
            outputs = decoder[1](decoder[0](clean + noise * torch.randn(clean.shape, generator=generator)))
        error = (outputs.float() - to_float(pictures[chosen])).abs()
        return error.mean() + 2 * error.square().mean()

    trained = fit("decoder", decoder, step_loss, work=work, steps=steps, lr=1.5e-3, ema_decay=0.995)
    model.post_quant_conv, model.decoder = trained
    return model


@torch.no_grad()
def encode_pictures(model: AutoencoderKL, pictures: torch.Tensor, batch: int = 128) -> torch.Tensor:
    """The means of the latents of uint8 pictures (n, 64, 64, 3): float (n, 4, 16, 16), not yet scaled."""
    return torch.cat([model.encode(to_float(part)).latent_dist.mean for part in pictures.split(batch)])


@torch.no_grad()
def reconstruction_error(model: AutoencoderKL, pictures: torch.Tensor) -> float:
    """Mean squared error of reconstructed pictures in [-1, 1]."""
    outputs = torch.cat([model(to_float(part)).sample for part in pictures.split(128)])
    return float((outputs - to_float(pictures)).square().mean())
