"""Debiasing of a frozen CLIP by transforms of its embeddings: the joint method and its baselines, in one form.

>>> cache = EmbeddingCache(clip, "runs/embeddings")
>>> data = embed_training_data(cache, read_labelled_table("faces.csv", ["gender", "race"]), load_texts("debias-faces"))
>>> debiased = debias_clip(clip, fit(data, JointConfig()))
"""

from cfray.debias.cache import EmbeddingCache
from cfray.debias.config import (
    BiasedPromptsConfig,
    ClipClipConfig,
    ClosedFormConfig,
    DebiasConfig,
    GatedForm,
    JointConfig,
    PublishedForm,
)
from cfray.debias.data import DebiasData, embed_training_data
from cfray.debias.faces import LabelledPictures, read_counterfactual_sets, read_labelled_table, read_utkface
from cfray.debias.methods import fit
from cfray.debias.texts import load_texts

__all__ = [
    "BiasedPromptsConfig",
    "ClipClipConfig",
    "ClosedFormConfig",
    "DebiasConfig",
    "DebiasData",
    "EmbeddingCache",
    "GatedForm",
    "JointConfig",
    "LabelledPictures",
    "PublishedForm",
    "embed_training_data",
    "fit",
    "load_texts",
    "read_counterfactual_sets",
    "read_labelled_table",
    "read_utkface",
]
