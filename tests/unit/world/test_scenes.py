from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from cfray.world.canvas import Label
from cfray.world.people import sample_person
from cfray.world.scenes import professions, render_portrait, render_scene
from cfray.world.things import THINGS, render_thing


def person(seed=0, **changes):
    return replace(sample_person(np.random.default_rng(seed), gender="feminine", group="medium"), **changes)


def test_a_seed_gives_the_same_bytes():
    context = professions()["doctor"].context
    first, second = (render_scene(context, person(), np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first.picture, second.picture)
    assert np.array_equal(first.labels, second.labels)
    assert first.picture.shape == (64, 64, 3)
    assert first.picture.dtype == np.uint8


@pytest.mark.parametrize("profession", sorted(professions()))
def test_people_differ_inside_the_body_only(profession):
    context = professions()[profession].context
    one = render_scene(context, person(hair_style="long"), np.random.default_rng(3))
    other = render_scene(
        context, person(tone=10, gender="masculine", hair_style="short", hair_colour="red"), np.random.default_rng(3)
    )
    # A pixel belongs to the body from half its area on: pixels beside the body hold some of its colour, and so do those
    # beside a hat, under which a sliver of hair may show.
    body = one.body_mask | other.body_mask | (one.labels == Label.HAT)
    body = ndimage.binary_dilation(body, np.ones((3, 3)))
    assert np.array_equal(one.picture[~body], other.picture[~body])
    assert (one.picture[body] != other.picture[body]).any()


def test_the_label_map_holds_face_hair_arms_and_clothes():
    render = render_scene(professions()["teacher"].context, person(hair_style="long"), np.random.default_rng(0))
    present = set(np.unique(render.labels))
    assert {Label.BACKGROUND, Label.FACE, Label.HAIR, Label.UPPER_CLOTHES, Label.LEFT_ARM, Label.RIGHT_ARM} <= present
    assert 0.03 < render.body_mask.mean() < 0.4


def test_hats_are_context():
    render = render_scene(professions()["chef"].context, person(), np.random.default_rng(0))
    assert (render.labels == Label.HAT).any()
    assert not render.body_mask[render.labels == Label.HAT].any()


def test_every_profession_has_its_own_place_attire_and_tool():
    contexts = [profession.context for profession in professions().values()]
    assert len(contexts) >= 24
    for part in ("place", "tool", "attire"):
        assert len({getattr(context, part) for context in contexts}) == len(contexts)


def test_skin_is_painted_in_its_monk_tone():
    # The mean colour of the face follows the scale from light to dark.
    means = [render_portrait(person(tone=tone, hair_style="short"), np.random.default_rng(1)) for tone in (1, 5, 7, 10)]
    brightness = [render.picture[render.labels == Label.FACE].mean() for render in means]
    assert brightness == sorted(brightness, reverse=True)
    assert brightness[0] > 2.5 * brightness[-1]


def test_things_are_at_least_24_and_vary():
    assert len(THINGS) >= 24
    rng = np.random.default_rng(0)
    first, second = render_thing("key", rng), render_thing("key", rng)
    assert not np.array_equal(first, second)
