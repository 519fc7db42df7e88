"""The losses of counterfactual fine-tuning (arXiv 2406.11331): L = beta_1 * L_CLIP + beta_0 * L_cf.

A batch holds S sets of V images and S captions. Images come set by set: rows v, v + 1, ... of one set stand together.
All features are L2-normalised, images (S * V, d), texts (S, d), and gathered over all workers.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch.distributed.nn.functional import all_gather
from torch.nn import functional as F


def gather_with_gradient(features: torch.Tensor) -> torch.Tensor:
    """Rows of all workers in rank order; the gradient flows back to the worker each row came from.

    Every worker then computes the same loss over all rows. Without the gradient through the gather, encoder gradients
    would shrink by the number of workers while the loss would not change, so that beta_0 : beta_1 would depend on it.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return features
    return torch.cat(all_gather(features), dim=0)


def clip_loss(
    images: torch.Tensor, texts: torch.Tensor, captions: torch.Tensor, scale: torch.Tensor, *, targets: str = "multi_positive"
) -> torch.Tensor:
    """The symmetric contrastive loss between images and captions.

    Args:
        images: (S * V, d).
        texts: (S, d).
        captions: int64 (S,), equal where two sets have the same caption text.
        scale: exp(logit_scale), a scalar.
        targets: ``multi_positive``: every image of a set is a positive of its caption, and so are those of another set
            with the same caption; the target is spread evenly over the positives. ``one_per_set``: the first image of
            each set stands for it. ``plain``: each image has a copy of the caption to itself, which makes its siblings
            negatives (the naive reading, for comparison).

    Returns:
        A scalar; for V = 1 and captions that all differ each form equals open_clip's ClipLoss.
    """
    images, texts, positive = _with_targets(images, texts, captions, targets)
    logits = scale * images @ texts.T
    return (_soft_cross_entropy(logits, positive) + _soft_cross_entropy(logits.T, positive.T)) / 2


def sigmoid_clip_loss(
    images: torch.Tensor,
    texts: torch.Tensor,
    captions: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    *,
    targets: str = "multi_positive",
) -> torch.Tensor:
    """The sigmoid form of L_CLIP (SigLIP, arXiv 2303.15343): every pair of image and caption is a yes or no by itself.

    -1/N sum_ij log sigmoid(z_ij * (scale * x_i . y_j + bias)) over N images, z_ij = 1 for positives and -1 otherwise.

    Args:
        bias: the logit bias, a scalar; the others as in ``clip_loss``.

    Returns:
        A scalar; for V = 1 and captions that all differ it equals open_clip's SigLipLoss.
    """
    images, texts, positive = _with_targets(images, texts, captions, targets)
    logits = scale * images @ texts.T + bias
    return -F.logsigmoid((2 * positive - 1) * logits).sum() / len(images)


def _with_targets(
    images: torch.Tensor, texts: torch.Tensor, captions: torch.Tensor, targets: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images (n, d) and texts (m, d) as ``targets`` reads them, and their positives (n, m) as ones among zeros."""
    per_set = len(images) // len(texts)
    if targets == "plain":
        texts = texts.repeat_interleave(per_set, dim=0)
        captions = torch.arange(len(texts), device=texts.device)
    elif targets == "one_per_set":
        images = images[::per_set]
    elif targets != "multi_positive":
        raise ValueError(f"targets={targets!r} is unknown; use multi_positive, one_per_set or plain")
    of_image = captions.repeat_interleave(len(images) // len(captions))
    return images, texts, (of_image[:, None] == captions[None, :]).to(images.dtype)


def _soft_cross_entropy(logits: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """Mean over rows of the cross-entropy to a target spread evenly over the row's positives."""
    return F.cross_entropy(logits, positive / positive.sum(dim=1, keepdim=True))


def counterfactual_loss(images: torch.Tensor, per_set: int, *, form: str = "supcon", temperature: float = 0.1) -> torch.Tensor:
    """L_cf: counterfactuals of one scene embed alike.

    Args:
        images: (S * per_set, d).
        per_set: V, at least 2.
        form: ``supcon``: -1/|P(i)| sum_{p in P(i)} log softmax_{j != i}(z_i . z_j / temperature)_p, mean over i, with
            P(i) the siblings of i (arXiv 2004.11362, L_out). ``infonce``: symmetric cross-entropy over the S x S
            similarities of each set's first two images. ``cosine``: 1 - cosine, mean over the pairs of siblings.
        temperature: of ``supcon`` and ``infonce``.
    """
    if per_set < 2:
        raise ValueError(f"images_per_set={per_set} leaves no counterfactual to compare; use at least 2")
    sets = images.view(-1, per_set, images.shape[1])
    if form == "cosine":
        similarity = sets @ sets.transpose(1, 2)
        siblings = per_set * (per_set - 1)
        return 1 - (similarity.sum(dim=(1, 2)) - similarity.diagonal(dim1=1, dim2=2).sum(dim=1)).mean() / siblings
    if form == "infonce":
        logits = sets[:, 0] @ sets[:, 1].T / temperature
        own = torch.arange(len(sets), device=images.device)
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    if form != "supcon":
        raise ValueError(f"form={form!r} is unknown; use supcon, infonce or cosine")
    itself = torch.eye(len(images), dtype=torch.bool, device=images.device)
    of_set = torch.arange(len(images), device=images.device) // per_set
    sibling = (of_set[:, None] == of_set[None, :]) & ~itself
    log_probability = F.log_softmax((images @ images.T / temperature).masked_fill(itself, float("-inf")), dim=1)
    return -log_probability[sibling].mean()


def anchor_loss(texts: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """1 - cosine between texts (n, d) as they embed now and as the original model embedded them, mean over n."""
    return 1 - (texts * original).sum(dim=1).mean()
