"""Zero-shot classification: what ImageNet, labelled folders and WebDatasets have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cfray.clip.model import ClipModel
from cfray.evaluate.benchmark import Measurement, Settings
from cfray.evaluate.embedding_files import Embedded
from cfray.evaluate.embeddings import Encoder
from cfray.evaluate.images import Gallery
from cfray.evaluate.people import read_images
from cfray.evaluate.reading import ReadReport
from cfray.metrics import similarity, true_class_ranks


class ZeroShotBenchmark:
    """Top-1 and, with more than five classes, top-5 accuracy of the nearest class prototype.

    Args:
        gallery: the images.
        classes: (n,) the class of every image, 0..C-1.
        prompts: the prompts of each of C classes; a prototype is the mean of their embeddings.
        settings, report: see there.
    """

    people = ()

    def __init__(
        self, gallery: Gallery, classes: Sequence[int], prompts: Sequence[Sequence[str]], settings: Settings, report: ReadReport
    ):
        self.report, self.galleries = report, (gallery,)
        self._classes, self._prompts, self._settings = np.array(classes), prompts, settings
        report.facts |= {"images": len(gallery), "classes": len(prompts), "prompts": sum(map(len, prompts))}
        report.print_facts()
        counts = np.bincount(self._classes, minlength=len(prompts))
        report.add("classes without an image", (row[0] for row, count in zip(prompts, counts, strict=True) if not count))

    def measure(self, clip: ClipModel) -> Measurement:
        """``accuracy`` ``zero_shot_NAME`` and ``zero_shot_NAME_top5``."""
        encoder = Encoder(clip, self._settings)
        images = read_images(encoder, self.galleries[0], self.report)
        found = Measurement()
        zero_shot(encoder, images, self._classes, self._prompts, self.report.benchmark, found)
        return found


def zero_shot(
    encoder: Encoder, images: Embedded, classes: np.ndarray, prompts: Sequence[Sequence[str]], name: str, found: Measurement
) -> None:
    """Add accuracies over the readable images; ``classes`` (n,) are those of the whole gallery, -1 where one is not known."""
    known = classes[images.readable] >= 0
    scores = similarity(images.vectors[known], encoder.prototypes(prompts))
    ranks = true_class_ranks(scores, classes[images.readable][known])
    found.add_outcomes(f"zero_shot_{name}", ranks < 1)
    if len(prompts) > 5:
        found.add_outcomes(f"zero_shot_{name}_top5", ranks < 5)
