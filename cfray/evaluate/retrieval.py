"""Retrieval between images and captions in both directions: what Flickr30k, COCO and caption files have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cfray.clip.model import ClipModel
from cfray.errors import UserError
from cfray.evaluate.benchmark import Measurement, Settings
from cfray.evaluate.embeddings import Encoder
from cfray.evaluate.images import Gallery
from cfray.evaluate.people import read_images
from cfray.evaluate.reading import ReadReport
from cfray.metrics import retrieval_ranks, similarity

KS = (1, 5, 10)


class RetrievalBenchmark:
    """Recall@1/5/10 in both directions; any of an image's captions counts (the protocol of Karpathy's splits).

    Args:
        gallery: the images.
        captions: the captions of every image; images without one are left out and reported.
        captions_per_image: the first captions of each image that count, None for all of them.
        settings, report: see there.

    Raises:
        UserError: if fewer images than the largest k have a caption.
    """

    people = ()

    def __init__(
        self, gallery: Gallery, captions: Sequence[Sequence[str]], captions_per_image: int | None, settings: Settings,
        report: ReadReport,
    ):  # fmt: skip
        mute = [picture.name for picture, row in zip(gallery.pictures, captions, strict=True) if not row]
        kept = [(picture, row[:captions_per_image]) for picture, row in zip(gallery.pictures, captions, strict=True) if row]
        self.report, self._settings = report, settings
        self.galleries = (Gallery(gallery.name, tuple(picture for picture, _ in kept)),)
        self._captions = [list(row) for _, row in kept]
        report.facts |= {"images": len(kept), "captions": sum(map(len, self._captions))}
        report.facts["direction"] = "text to image and image to text"
        report.print_facts()
        report.add("images without a caption", mute)
        if len(kept) < max(KS):
            raise UserError(f"{report.benchmark} has {len(kept)} images with captions; recall@{max(KS)} needs {max(KS)}")

    def measure(self, clip: ClipModel) -> Measurement:
        """``accuracy`` by metric, for example ``recall@5_text_to_image_flickr30k``."""
        encoder = Encoder(clip, self._settings)
        images = read_images(encoder, self.galleries[0], self.report)
        rows = [row for row, readable in zip(self._captions, images.readable, strict=True) if readable]
        texts = encoder.texts([caption for row in rows for caption in row])
        owner = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
        ranks = retrieval_ranks(similarity(images.vectors, texts), owner)
        found = Measurement()
        for k in KS:
            found.add_outcomes(f"recall@{k}_text_to_image_{self.report.benchmark}", ranks.text_to_image < k)
            found.add_outcomes(f"recall@{k}_image_to_text_{self.report.benchmark}", ranks.image_to_text < k)
        return found
