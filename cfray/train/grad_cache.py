"""Gradient caching (GradCache, arXiv 2101.06983): the gradient of a contrastive loss over a batch that does not fit in memory.

The loss needs the features of the whole batch at once, but not the activations behind them. So: embed the batch piece by
piece without a graph; take the gradient of the loss with respect to the features; embed each piece again, now with a graph,
and send its features' gradient through it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

Features = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def backward_in_chunks(
    model: nn.Module,
    images: torch.Tensor,
    ids: torch.Tensor,
    terms_of: Callable[[Features], dict[str, torch.Tensor]],
    *,
    chunks: int,
) -> dict[str, torch.Tensor]:
    """Accumulate the gradient of the batch's loss in the parameters; returns the loss terms, detached.

    Each piece is embedded twice under the same random numbers, so that dropout drops the same units both times. Under
    DistributedDataParallel gradients are averaged once, with the last piece.

    Args:
        model: maps images and ids to features, see ``Towers``; or DistributedDataParallel around it.
        images: (n, 3, h, w) of this worker.
        ids: int64 (m, context).
        terms_of: maps the outputs of ``model`` for the whole batch to terms of which ``loss`` is the one to minimise. It
            may gather over workers.
        chunks: pieces, at most n and m.
    """
    pieces = list(zip(images.tensor_split(chunks), ids.tensor_split(chunks), strict=True))
    encode = model.module if isinstance(model, DistributedDataParallel) else model
    states, embedded = [], []
    with torch.no_grad():
        for piece in pieces:
            states.append(_random_state(images.device))
            embedded.append(encode(*piece))
    after = _random_state(images.device)
    whole = [torch.cat(parts) for parts in zip(*(outputs[:2] for outputs in embedded), strict=True)]
    leaves = [value.detach().requires_grad_() for value in (*whole, *embedded[0][2:])]
    terms = terms_of(tuple(leaves))
    terms["loss"].backward()
    gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
    of_piece = zip(gradients[0].tensor_split(chunks), gradients[1].tensor_split(chunks), strict=True)
    for number, (piece, state, cached) in enumerate(zip(pieces, states, of_piece, strict=True)):
        last = number == len(pieces) - 1
        synchronised = last or not isinstance(model, DistributedDataParallel)
        with nullcontext() if synchronised else model.no_sync():
            _set_random_state(state, images.device)
            image_features, text_features, scale, bias = model(*piece)
            surrogate = (image_features * cached[0]).sum() + (text_features * cached[1]).sum()
            # Scale and bias belong to no piece. The others name them too: every parameter must take part in every pass.
            surrogate = surrogate + (scale * gradients[2] + bias * gradients[3]) * float(last)
            surrogate.backward()
    _set_random_state(after, images.device)
    return {name: value.detach() for name, value in terms.items()}


def _random_state(device: torch.device) -> tuple[torch.Tensor, torch.Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _set_random_state(state: tuple[torch.Tensor, torch.Tensor | None], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)
