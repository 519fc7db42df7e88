"""Fits the gated form of joint debiasing: texts keep their similarities to images, but for what appearance adds to them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from cfray.clip.debiasers import GatedJoint
from cfray.debias.config import GatedForm
from cfray.debias.data import DebiasData


def group_imbalance(log_p: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """KL(d || P(g)): how far the probability of each group is from its share d of the images.

    Args:
        log_p: (m, n) log-probabilities of m texts over n images.
        groups: (n,) int64 group ids.

    Returns:
        (m,), 0 when who is shown does not depend on the group; the blind ranker of the random floor has this share.
    """
    present, groups = torch.unique(groups, return_inverse=True)
    share = torch.bincount(groups).float() / len(groups)
    mass = torch.zeros(len(log_p), len(present)).index_add(1, groups, log_p.exp())
    return (share * (share.log() - mass.clamp(min=1e-12).log())).sum(dim=1)


def set_imbalance(log_p: torch.Tensor, sets: torch.Tensor) -> torch.Tensor:
    """sum_s |s|/n KL(1/|s| || P(j | s)): how far the images of each set of counterfactuals are from equally probable.

    What the images of a set differ in is appearance, and appearance alone; what sets differ in is left as it is. Sets count
    by their size and not by how probable they are: a doctor's portrait needs no doctor's scene to be ranked by.

    Args:
        log_p: (m, n) log-probabilities of m texts over n images.
        sets: (n,) int64 set ids.

    Returns:
        (m,), 0 when no image of a set is preferred to another.
    """
    present, sets = torch.unique(sets, return_inverse=True)
    size = torch.bincount(sets).float()

    def per_set(values: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(values), len(present)).index_add(1, sets, values)

    # Within a set P(j | s) is a softmax of its own; the largest log-probability is taken out of the exponent first.
    top = log_p.detach().amax(dim=1, keepdim=True)
    log_mass = per_set((log_p - top).exp()).clamp(min=1e-30).log() + top
    divergence = log_mass - size.log() - per_set(log_p) / size
    return (size / len(sets) * divergence).sum(dim=1)


@dataclass
class TextPool:
    """Normalised texts (m, d), the attributes they name, and their share of a batch."""

    texts: torch.Tensor
    named: tuple[str, ...]
    share: float


def text_pools(data: DebiasData) -> list[TextPool]:
    """The texts of ``data``: half of a batch names nothing, half an attribute, everything (captions) or nobody.

    Texts about nobody count as naming everything: there is nothing to take out of them.
    """
    everything = tuple(data.labels)
    named = [(torch.cat([data.explicit[name].flatten(0, 1), data.pairs[name].flatten(0, 1)]), (name,)) for name in data.labels]
    named += [(data.captions, everything), (data.others, everything)]
    pools = []
    for half in ([(data.neutral, ()), (data.contexts, ())], named):
        present = [(texts, names) for texts, names in half if len(texts)]
        pools += [TextPool(F.normalize(texts, dim=-1), names, 0.5 / len(present)) for texts, names in present]
    return pools


def fit_gated(data: DebiasData, config: GatedForm) -> GatedJoint:
    """Minimise, mean over texts, L = L_cd + ``balance`` * L_bal + ``proximity`` * (1 - cos(e, x)).

    With P_x and P_e the distributions over images of a text x before and after, both softmax(t . v / tau), L_cd is the
    soft cross-entropy of P_e to P_x: the debiased similarities stay the original ones. L_bal takes the place of the
    swapped caption. It is the sum over the attributes that the text does not name of ``group_imbalance``, or
    ``set_imbalance`` over the images of a set that share what the text names, where images have counterfactuals. Of
    counterfactual sets L_bal sees the people cut out, L_cd the pictures.

    Half of a batch are texts that lose appearance, the other half texts that keep what they name, so the gate learns to tell
    them apart. Every step draws its images anew, whole sets at a time. Adam with a cosine schedule to 0.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        debiaser = GatedJoint(data.weights, dim=data.images.shape[1], attributes=len(data.labels), rank=config.rank)
    generator = torch.Generator().manual_seed(config.seed)
    pools, cut_outs = text_pools(data), data.cut_outs
    data = replace(
        data, images=F.normalize(data.images, dim=-1), cut_outs=None if cut_outs is None else F.normalize(cut_outs, dim=-1)
    )
    optimizer = torch.optim.Adam(debiaser.parameters(), lr=config.learning_rate)
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (1 + math.cos(math.pi * step / config.steps)) / 2
        seen = data.subset(_draw_images(data, config, generator))
        loss = torch.zeros(())
        for pool in pools:
            drawn = torch.randint(len(pool.texts), (max(1, round(pool.share * config.batch)),), generator=generator)
            loss = loss + pool.share * gated_loss(debiaser, pool.texts[drawn], pool.named, seen, config)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return debiaser.eval()


def gated_loss(
    debiaser: GatedJoint, x: torch.Tensor, named: tuple[str, ...], data: DebiasData, config: GatedForm
) -> torch.Tensor:
    """L of normalised texts x (m, d) that name the attributes ``named``, over the images of ``data``, normalised as well."""
    e = F.normalize(debiaser.text(x), dim=-1)

    def log_p(texts: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        return F.log_softmax(texts @ keys.T / config.temperature, dim=1)

    log_p_images = log_p(e, data.images)
    loss = -(log_p(x, data.images).exp() * log_p_images).sum(dim=1) + config.proximity * (1 - (e * x).sum(dim=1))
    free = [name for name in data.labels if name not in named]
    if not free:
        return loss.mean()
    log_p_people = log_p_images if data.cut_outs is None else log_p(e, data.cut_outs)
    if data.sets is not None and config.image_counterfactuals:
        alike = torch.stack([data.sets, *(data.labels[name] for name in named)])
        loss = loss + config.balance * set_imbalance(log_p_people, torch.unique(alike, dim=1, return_inverse=True)[1])
    else:
        for name in free:
            loss = loss + config.balance * group_imbalance(log_p_people, data.labels[name])
    return loss.mean()


def _draw_images(data: DebiasData, config: GatedForm, generator: torch.Generator) -> torch.Tensor:
    n = len(data.images)
    if config.images >= n:
        return torch.arange(n)
    if data.sets is None:
        return torch.randperm(n, generator=generator)[: config.images]
    number = torch.unique(data.sets, return_inverse=True)[1]
    drawn = torch.rand(int(number.max()) + 1, generator=generator) < config.images / n
    return drawn[number].nonzero().squeeze(1)
