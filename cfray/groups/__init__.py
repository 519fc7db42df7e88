"""Groups without labels: CLIP-inferred attributes and clusters, and the classifier that is trained on them.

>>> prompts = load_attribute("attributes-faces", "gender")
>>> texts = embed_texts(clip, prompts.flat).reshape(len(prompts.values), -1, images.shape[1])
>>> inferred = infer_groups(images, texts, prompts.values)
>>> inferred.groups, inferred.confidence
"""

from cfray.groups.clusters import AppearanceClusters, InferredGroups, concept_directions
from cfray.groups.infer import (
    PromptGroups,
    WordingSensitivity,
    combine_groups,
    infer_groups,
    similarity_vectors,
    wording_sensitivity,
)
from cfray.groups.prompts import AttributePrompts, load_attribute

__all__ = [
    "AppearanceClusters",
    "AttributePrompts",
    "InferredGroups",
    "PromptGroups",
    "WordingSensitivity",
    "combine_groups",
    "concept_directions",
    "infer_groups",
    "load_attribute",
    "similarity_vectors",
    "wording_sensitivity",
]
