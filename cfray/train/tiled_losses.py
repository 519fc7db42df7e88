"""The losses of ``losses``, exact in value and gradient, without ever holding the matrix of all similarities.

With p_i = scale * x_i . (mean of the captions that are positives of image i), the multi-positive CLIP loss is

    mean_i logsumexp_t(scale * x_i . y_t) / 2 + mean_t logsumexp_i(scale * x_i . y_t) / 2 - mean_i p_i,

so that only the two normalisers need the matrix. Arguments are this worker's features, set by set; each worker computes the
rows of its own images against the captions of all workers and returns the loss over all of them.
"""

from __future__ import annotations

import torch
import torch.distributed as dist

from cfray.train.losses import gather_with_gradient
from cfray.train.tiled import tiled_logsumexp, tiled_softplus_sum


def tiled_clip_loss(
    images: torch.Tensor,
    texts: torch.Tensor,
    captions: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    tile: int,
    form: str = "softmax",
    targets: str = "multi_positive",
) -> torch.Tensor:
    """``losses.clip_loss``, or ``losses.sigmoid_clip_loss`` for ``form="sigmoid"``.

    Args:
        images: (s * V, d) of this worker.
        texts: (s, d) of this worker.
        captions: int64 (S,) of all workers, equal where two sets have the same caption text.
        scale: exp(logit_scale), a scalar.
        bias: the logit bias, for ``sigmoid``.
        tile: rows and columns of a tile.
        targets: as in ``losses.clip_loss``.
    """
    per_set = len(images) // len(texts)
    if targets == "plain":
        texts = texts.repeat_interleave(per_set, dim=0)
        captions = torch.arange(len(captions) * per_set, device=texts.device)
    elif targets == "one_per_set":
        images = images[::per_set]
    per_text = len(images) // len(texts)
    every = gather_with_gradient(texts)
    labels = captions[_first_row(len(texts)) :][: len(texts)].repeat_interleave(per_text)
    members = torch.bincount(captions)
    sums = every.new_zeros(len(members), every.shape[1]).index_add(0, captions, every)
    if form == "sigmoid":
        total = tiled_softplus_sum(images, every, scale, bias, tile=tile)
        positive = (scale * (images * sums[labels]).sum(dim=1) + bias * members[labels]).sum()
        return gather_with_gradient((total - positive)[None, None]).sum() / (len(captions) * per_text)
    means = sums / members[:, None]
    return _contrastive(images, every, scale * (images * means[labels]).sum(dim=1), scale, tile)


def tiled_counterfactual_loss(
    images: torch.Tensor, per_set: int, *, tile: int, form: str = "supcon", temperature: float = 0.1
) -> torch.Tensor:
    """``losses.counterfactual_loss`` of (s * per_set, d) of this worker, for ``supcon`` and ``infonce``."""
    sets, scale = images.view(-1, per_set, images.shape[1]), images.new_tensor(1 / temperature)
    if form == "infonce":
        first, second = sets[:, 0], sets[:, 1]
        return _contrastive(first, gather_with_gradient(second), scale * (first * second).sum(dim=1), scale, tile)
    of_row, _ = tiled_logsumexp(images, gather_with_gradient(images), scale, tile=tile, own=_first_row(len(images)))
    siblings = ((sets.sum(dim=1, keepdim=True) - sets) / (per_set - 1)).flatten(0, 1)
    return gather_with_gradient((of_row - scale * (images * siblings).sum(dim=1))[:, None]).mean()


def _contrastive(rows, columns, positive, scale, tile) -> torch.Tensor:
    """The formula above from this worker's rows and their p_i, and the columns of all workers."""
    of_row, of_column = tiled_logsumexp(rows, columns, scale, tile=tile)
    # A column's sum runs over the rows of all workers.
    of_column = gather_with_gradient(of_column[None]).logsumexp(dim=0)
    of_row, positive = gather_with_gradient(torch.stack([of_row, positive], dim=1)).mean(dim=0)
    return (of_row + of_column.mean()) / 2 - positive


def _first_row(rows: int) -> int:
    """Where this worker's rows begin among those of all workers."""
    return dist.get_rank() * rows if dist.is_available() and dist.is_initialized() else 0
