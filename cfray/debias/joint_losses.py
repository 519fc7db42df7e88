"""The two losses of joint vision-language debiasing (arXiv 2411.12785) over a batch and a queue of original pairs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from cfray.debias.queue import softmax_over_keys


@dataclass
class Keys:
    """The original pairs that distributions run over: those of the batch and the queue, each pair once with its count.

    Captions repeat, so a distribution over the texts of n pairs is one over u captions, caption c counting once per pair
    that has it. All features are normalised and frozen.
    """

    images: torch.Tensor
    """(n, d), in the dtype of the products."""
    log_counts: torch.Tensor
    """(n,)"""
    captions: torch.Tensor
    """(u, d) float32"""
    caption_counts: torch.Tensor
    """(u,) pairs with each caption; at least 1."""
    caption_images: torch.Tensor
    """(u, d) sum of the images of those pairs."""

    @classmethod
    def of(
        cls, images: torch.Tensor, captions: torch.Tensor, caption_of: torch.Tensor, counts: torch.Tensor,
        dtype: torch.dtype = torch.float32,
    ) -> Keys:  # fmt: skip
        """Keys from all pairs of a training set: normalised images (N, d), captions (U, d) and counts (N,), 0 where absent."""
        rows = counts.nonzero().squeeze(1)
        if len(rows) < len(counts):
            images, caption_of, counts = images[rows], caption_of[rows], counts[rows]
        present, caption = torch.unique(caption_of, return_inverse=True)
        sums = torch.zeros(len(present), images.shape[1]).index_add_(0, caption, images.float() * counts[:, None])
        per_caption = torch.bincount(caption, weights=counts, minlength=len(present)).float()
        return cls(images.to(dtype), counts.log(), captions[present], per_caption, sums)


def bias_vectors(x: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
    """b = norm(x) - norm(e) (n, d): what debiasing took away from the direction of each embedding."""
    return F.normalize(x, dim=-1) - F.normalize(e, dim=-1)


def alignment_loss(
    text_bias: torch.Tensor, image_bias: torch.Tensor, keys: Keys, *, temperature: float, tile: int = 4096
) -> torch.Tensor:
    """L_ba = KL(P_text || P_image), mean over samples: the biases of both towers must single out the same pairs.

    P_text(j) is proportional to exp(b_text . t_j / tau) over the texts t_j of the pairs of batch and queue,
    P_image(j) to exp(b_image . v_j / tau) over their images.

    Args:
        text_bias, image_bias: (n, d) bias vectors of the two sides of each sample.
        keys: the pairs.
        temperature: tau.
        tile: pairs per product.
    """
    scores = text_bias @ keys.captions.T / temperature
    log_share = F.log_softmax(scores + keys.caption_counts.log(), dim=1)
    share = log_share.exp()
    # log P_text(j) of a single pair lacks the count of its caption.
    negative_entropy = (share * (log_share - keys.caption_counts.log())).sum(dim=1)
    image_under_text = (share / keys.caption_counts) @ keys.caption_images
    normaliser, _ = softmax_over_keys(image_bias, keys.images, keys.log_counts, temperature=temperature, tile=tile)
    cross = (image_bias * image_under_text).sum(dim=1) / temperature - normaliser
    return (negative_entropy - cross).mean()


def mean_text(queries: torch.Tensor, keys: Keys, *, temperature: float) -> torch.Tensor:
    """The mean text (q, d) of the distribution that queries (q, d) have over the texts of the pairs."""
    scores = queries @ keys.captions.T / temperature + keys.caption_counts.log()
    return scores.softmax(dim=1) @ keys.captions


def mean_image(queries: torch.Tensor, keys: Keys, *, temperature: float, tile: int = 4096) -> torch.Tensor:
    """The mean image (q, d) of the distribution that queries (q, d) have over the images of the pairs."""
    return softmax_over_keys(queries, keys.images, keys.log_counts, temperature=temperature, tile=tile)[1]


def text_cross_entropy(queries: torch.Tensor, target: torch.Tensor, keys: Keys, *, temperature: float) -> torch.Tensor:
    """Soft cross-entropy (q,) of queries over the texts of the pairs; ``target`` is the target's ``mean_text``."""
    scores = queries @ keys.captions.T / temperature + keys.caption_counts.log()
    return scores.logsumexp(dim=1) - (queries * target).sum(dim=1) / temperature


def image_cross_entropy(
    queries: torch.Tensor, target: torch.Tensor, keys: Keys, *, temperature: float, tile: int = 4096
) -> torch.Tensor:
    """Soft cross-entropy (q,) of queries over the images of the pairs; ``target`` is the target's ``mean_image``."""
    normaliser, _ = softmax_over_keys(queries, keys.images, keys.log_counts, temperature=temperature, tile=tile)
    return normaliser - (queries * target).sum(dim=1) / temperature
