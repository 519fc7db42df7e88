from __future__ import annotations

import base64
import io
from dataclasses import FrozenInstanceError

import pytest
from PIL import Image

from cfray.report import GallerySet
from cfray.report.gallery import gallery_cards


def embedded(uri: str) -> bytes:
    return base64.b64decode(uri.removeprefix("data:image/png;base64,"))


def test_small_images_are_embedded_byte_for_byte_at_twice_their_size(gallery):
    card = gallery_cards(gallery)[0]
    assert embedded(card.base.uri) == gallery[0].base
    assert embedded(card.mask.uri) == gallery[0].mask
    assert [embedded(picture.uri) for picture, *_ in card.variants] == [variant.image for variant in gallery[0].variants]
    assert (card.base.width, card.base.pixelated) == (128, True)


@pytest.mark.parametrize(
    ("width", "shown", "pixelated"), [(32, 128, True), (50, 100, True), (128, 128, True), (200, 128, False)]
)
def test_only_whole_multiples_are_pixelated(png, width, shown, pixelated):
    card = gallery_cards([GallerySet("c", "doctor", png(1, width, width), png(2))])[0]
    assert (card.base.width, card.base.pixelated) == (shown, pixelated)


def test_large_images_are_scaled_down_with_their_proportions(png):
    card = gallery_cards([GallerySet("c", "doctor", png(1, 1024, 512), png(2))])[0]
    with Image.open(io.BytesIO(embedded(card.base.uri))) as image:
        assert image.size == (256, 128)


def test_rejected_and_missing_variants_say_why(gallery):
    variants = gallery_cards(gallery)[2].variants
    assert [status for *_, status, _ in variants] == ["kept", "kept", "rejected: skin tone", "failed: timeout"]
    assert [kept for *_, kept in variants] == [True, True, False, False]
    assert [picture is None for picture, *_ in variants] == [False, False, False, True]


@pytest.mark.parametrize("broken", [b"no image", b""])
def test_an_unreadable_image_is_named(gallery, png, broken):
    sets = [gallery[0], GallerySet("c", "judge", png(1), broken)]
    with pytest.raises(ValueError, match=r"mask of set 1 \(judge\): .* not a readable PNG"):
        gallery_cards(sets)


def test_a_truncated_large_image_is_named(png):
    cut = png(1, 512, 512)
    with pytest.raises(ValueError, match=r"base of set 0 \(judge\)"):
        gallery_cards([GallerySet("c", "judge", cut[: len(cut) // 2], png(1))])


def test_a_set_is_frozen(gallery):
    with pytest.raises(FrozenInstanceError):
        gallery[0].caption = "another"
