import numpy as np
from PIL import Image

from cfray.train.augment import augment
from cfray.train.config import AugmentConfig

CHANGING = AugmentConfig(crop_area=0.5, flip_share=0.5, color=0.3)


def pictures() -> list[Image.Image]:
    return [Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))] * 3


def changed(config, seed=0) -> list[np.ndarray]:
    return [np.asarray(picture) for picture in augment(config, pictures(), np.random.default_rng(seed))]


def test_images_of_a_set_change_alike_unless_told_otherwise():
    first, *others = changed(CHANGING)
    assert first.shape == (16, 16, 3) and not np.array_equal(first, np.asarray(pictures()[0]))
    assert all(np.array_equal(first, other) for other in others)
    assert not np.array_equal(first, changed(CHANGING, seed=1)[0])
    apart = changed(CHANGING.model_copy(update={"alike": False}))
    assert not np.array_equal(apart[0], apart[1])


def test_by_default_nothing_changes():
    assert all(np.array_equal(picture, np.asarray(pictures()[0])) for picture in changed(AugmentConfig()))


def test_a_mirrored_picture_is_mirrored():
    mirrored = changed(AugmentConfig(flip_share=1.0))[0]
    assert np.array_equal(mirrored, np.asarray(pictures()[0])[:, ::-1])
