"""Labels that CLIP reads from the pictures itself, for those who have none (arXiv 2403.10624)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from cfray.debias.cache import EmbeddingCache
from cfray.debias.faces import LabelledPictures
from cfray.debias.texts import DebiasTexts
from cfray.errors import UserError
from cfray.groups.infer import Method, infer_groups


def check_inferred(people: LabelledPictures, texts: DebiasTexts, inferred: Mapping[str, Sequence[str]]) -> None:
    """Refuse attributes that cannot be inferred.

    Raises:
        UserError: if an attribute has labels as well, has fewer than two values, or a value has no words.
    """
    for attribute, values in inferred.items():
        if attribute in people.labels:
            raise UserError(f"attribute {attribute!r} is in pictures.labels and in pictures.inferred; choose one")
        if len(set(values)) < 2:
            raise UserError(f"pictures.inferred.{attribute}={list(values)} names fewer than two values; give all")
        texts.require(attribute, tuple(values))


def infer_labels(
    cache: EmbeddingCache, people: LabelledPictures, texts: DebiasTexts, inferred: Mapping[str, Sequence[str]], method: Method
) -> LabelledPictures:
    """The same pictures with labels for further attributes: for each picture the value whose texts it is most similar to.

    Args:
        cache: holds the CLIP that is to be debiased; its own bias is in these labels too.
        people: pictures, labelled or not.
        texts: gives the prompts, see ``DebiasTexts.explicit``.
        inferred: {attribute: its values}.
        method: of ``infer_groups``; ``argmax`` takes the most similar value, ``kmeans`` splits what there is.

    Raises:
        UserError: as ``check_inferred``, and if all pictures end in one group.
    """
    check_inferred(people, texts, inferred)
    images, labels = cache.images(people.pictures), dict(people.labels)
    for attribute, values in inferred.items():
        prompts = cache.texts([text for row in texts.explicit(attribute, tuple(values)) for text in row])
        prompts = prompts.reshape(len(values), -1, images.shape[1])
        found = infer_groups(images, prompts, tuple(values), method=method, temperature=cache.temperature)
        labels[attribute] = np.array(found.names)[found.groups]
        sizes = ", ".join(f"{name} {size}" for name, size in found.sizes.items())
        print(f"[debias] {attribute} inferred: {sizes}; median confidence {np.median(found.confidence):.2f}", flush=True)
    return replace(people, labels=labels)
