from __future__ import annotations

import numpy as np
import pytest

from cfray.errors import UserError
from cfray.groups import AppearanceClusters, concept_directions
from cfray.metrics import group_agreement

DIM = 16


def scenes(n=300, *, seed=0):
    """Embeddings in which the concept is a stronger direction than who is seen."""
    rng = np.random.default_rng(seed)
    concept, seen = np.arange(n) % 2, np.arange(n) // 2 % 3
    axes = np.eye(DIM)
    images = axes[0] + 1.5 * axes[1 + concept] + 0.6 * axes[4 + seen] + 0.05 * rng.normal(size=(n, DIM))
    return images, concept, seen


def test_clusters_show_who_is_seen_once_the_concept_is_out():
    images, concept, seen = scenes()
    found = AppearanceClusters(images, concept_directions(images, concept)).infer(images)
    assert len(found.names) == 3
    assert group_agreement(found.groups, seen).accuracy > 0.98
    with_concept = AppearanceClusters(images, np.empty((0, DIM)), n_groups=2).infer(images)
    assert group_agreement(with_concept.groups, concept).accuracy > 0.98


def test_clusters_are_numbered_by_size():
    images, concept, _ = scenes()
    few = np.r_[0:300:6, 1:300:6]  # all of the first, and a part of the others
    rest = np.setdiff1d(np.arange(300), few)[::4]
    chosen = np.r_[few, rest]
    found = AppearanceClusters(images[chosen], concept_directions(images, concept)).infer(images[chosen])
    sizes = list(found.sizes.values())
    assert sizes == sorted(sizes, reverse=True)


def test_images_that_are_all_alike_are_refused():
    rng = np.random.default_rng(0)
    images = np.eye(DIM)[0] + 0.01 * rng.normal(size=(200, DIM))
    with pytest.raises(UserError, match="all 200 samples are in one group, 'cluster 1'"):
        AppearanceClusters(images, np.empty((0, DIM)))
    with pytest.raises(UserError, match="nothing left to cluster"):
        AppearanceClusters(np.ones((5, 2)), np.eye(2))
    with pytest.raises(UserError, match=r"must be \(n, d\) and \(m, d\)"):
        AppearanceClusters(images, np.ones((1, 3)))
