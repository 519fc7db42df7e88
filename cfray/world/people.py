"""The people of the tiny world: what they look like and how they are drawn.

Appearance is drawn inside the body (hair, face, arms) only. Clothes, hat and tool belong to the context, so that two
people in one scene differ in nothing but the person.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cfray.concepts.appearance import MONK_TONES, TONE_GROUPS
from cfray.world.canvas import Colour, Label, Pen, shade

HAIR_STYLES = ("short", "long", "curly", "bun")
AGES = ("young", "middle-aged", "old")
BODY_TYPES = ("slim", "average", "heavy")
GENDERS = ("feminine", "masculine")
HAIR_COLOURS: dict[str, Colour] = {
    "black": (28, 24, 26), "brown": (98, 60, 34), "blond": (222, 184, 92), "red": (172, 72, 30), "grey": (178, 178, 182),
}  # fmt: skip

# How often each style is worn, so that hair alone does not give gender away.
_STYLE_ODDS = {"feminine": (0.1, 0.55, 0.15, 0.2), "masculine": (0.8, 0.05, 0.15, 0.0)}
_HAIR_ODDS_BY_TONE = {"light": (0.2, 0.3, 0.3, 0.2), "medium": (0.5, 0.4, 0.05, 0.05), "dark": (0.75, 0.25, 0.0, 0.0)}
_SHOULDERS = {"slim": 11.0, "average": 13.0, "heavy": 15.5}


@dataclass(frozen=True)
class Person:
    """One person. ``tone`` is the Monk step 1..10; the other fields take the words of this module's tuples."""

    tone: int
    gender: str
    age: str
    hair_colour: str
    hair_style: str
    body_type: str


def sample_person(rng: np.random.Generator, *, gender: str | None = None, group: str | None = None) -> Person:
    """Draw a person; ``gender`` and tone ``group`` are drawn uniformly where they are not given."""
    gender = gender or str(rng.choice(GENDERS))
    group = group or str(rng.choice(tuple(TONE_GROUPS)))
    age = str(rng.choice(AGES, p=(0.4, 0.35, 0.25)))
    colours = [colour for colour in HAIR_COLOURS if colour != "grey"]
    hair = "grey" if age == "old" else str(rng.choice(colours, p=_HAIR_ODDS_BY_TONE[group]))
    return Person(
        tone=int(rng.choice(TONE_GROUPS[group])),
        gender=gender,
        age=age,
        hair_colour=hair,
        hair_style=str(rng.choice(HAIR_STYLES, p=_STYLE_ODDS[gender])),
        body_type=str(rng.choice(BODY_TYPES, p=(0.3, 0.45, 0.25))),
    )


def attributes_of(person: Person) -> dict[str, str]:
    """The person's values on the axes of ``appearance-world.yaml``."""
    return {
        "gender": person.gender, "age": person.age, "skin_tone": str(person.tone),
        "hair_style": person.hair_style, "hair_colour": person.hair_colour,
    }  # fmt: skip


def shoulder_width(person: Person) -> float:
    """Half the width of the shoulders, in canvas units of an unscaled figure."""
    return _SHOULDERS[person.body_type]


def draw_back_hair(pen: Pen, person: Person) -> None:
    """The hair behind the neck and shoulders; drawn before the clothes."""
    colour = HAIR_COLOURS[person.hair_colour]
    if person.hair_style == "long":
        pen.polygon([(-9.6, -2), (-10.6, 12), (-6, 15), (6, 15), (10.6, 12), (9.6, -2)], shade(colour, 0.85), Label.HAIR)
    elif person.hair_style == "bun":
        pen.ellipse(0, -12, 4.4, 3.8, colour, Label.HAIR)
    elif person.hair_style == "curly":
        for x, y in ((-8, -4), (8, -4), (-9, 1), (9, 1), (-5, -9), (5, -9), (0, -11)):
            pen.ellipse(x, y, 4.2, 4.2, shade(colour, 0.9), Label.HAIR)


def draw_neck(pen: Pen, person: Person) -> None:
    width = 3.2 if person.gender == "feminine" else 4.2
    pen.rect(-width, 5, width, 14, shade(MONK_TONES[person.tone], 0.88), Label.FACE)


def draw_head(pen: Pen, person: Person) -> None:
    """Face and front hair around the origin, which is the middle of the face."""
    skin, hair = MONK_TONES[person.tone], HAIR_COLOURS[person.hair_colour]
    masculine = person.gender == "masculine"
    for side in (-1, 1):
        pen.ellipse(side * 8, 0.5, 1.5, 2.2, shade(skin, 0.92), Label.FACE)
    if masculine:
        pen.polygon(
            [(-7.8, -5), (-8, 3), (-6, 8.5), (-2.5, 10.2), (2.5, 10.2), (6, 8.5), (8, 3), (7.8, -5), (0, -9)], skin, Label.FACE
        )
    else:
        pen.ellipse(0, 0, 7.6, 9.6, skin, Label.FACE)
    _draw_face(pen, person, skin, hair)
    _draw_front_hair(pen, person, hair)


def _draw_face(pen: Pen, person: Person, skin: Colour, hair: Colour) -> None:
    dark = person.tone >= 8
    ink = shade(skin, 0.45) if not dark else shade(skin, 0.35)
    if person.age == "old":
        line = shade(skin, 0.72) if not dark else shade(skin, 1.7)
        for y in (-5.2, -4.0):
            pen.line([(-4, y), (4, y)], line, 0.5)
    if person.gender == "masculine":
        beard = shade(hair, 0.9) if person.hair_colour != "blond" else shade(hair, 0.75)
        pen.polygon(
            [(-8, 2), (-6.2, 8.7), (-2.5, 10.6), (2.5, 10.6), (6.2, 8.7), (8, 2), (5, 4), (0, 3.4), (-5, 4)], beard, Label.FACE
        )
        pen.ellipse(0, 6, 2.4, 0.9, _mix(skin, (140, 70, 70), 0.45), Label.FACE)
    else:
        pen.ellipse(0, 5.4, 2.5, 1.2, _mix(skin, (186, 46, 72), 0.65), Label.FACE)
        for side in (-1, 1):
            pen.ellipse(side * 5, 2.8, 1.7, 1.2, _mix(skin, (215, 90, 105), 0.3), Label.FACE)
    for side in (-1, 1):
        pen.ellipse(side * 3.2, -0.8, 1.5, 1.0, (232, 230, 226), Label.FACE)
        pen.ellipse(side * 3.2, -0.8, 0.9, 1.0, (40, 28, 24), Label.FACE)
        if person.gender == "masculine":
            pen.line([(side * 1.4, -3.2), (side * 5.2, -3.2)], ink if not dark else (10, 8, 8), 1.3, Label.FACE)
        else:
            pen.line([(side * 1.6, -2.0), (side * 5.4, -2.6)], (25, 15, 15), 0.6, Label.FACE)
    pen.line([(0, -0.5), (0.5, 2.2)], shade(skin, 0.78) if not dark else shade(skin, 1.5), 0.8, Label.FACE)


def _mix(a: Colour, b: Colour, share: float) -> Colour:
    """``a`` with a ``share`` in [0, 1] of ``b``."""
    return tuple(round((1 - share) * x + share * y) for x, y in zip(a, b, strict=True))


def _draw_front_hair(pen: Pen, person: Person, hair: Colour) -> None:
    if person.hair_style == "long":
        for side in (-1, 1):
            pen.polygon(
                [
                    (0, -9.5),
                    (side * 6, -9.5),
                    (side * 9.6, -4),
                    (side * 10.2, 8),
                    (side * 7.4, 9),
                    (side * 7.2, -3),
                    (side * 3, -6),
                ],
                hair,
                Label.HAIR,
            )
    pen.polygon(
        [
            (-8.3, -2.5),
            (-8.6, -6),
            (-6, -10),
            (0, -11.4),
            (6, -10),
            (8.6, -6),
            (8.3, -2.5),
            (6.6, -5.4),
            (0, -6.4),
            (-6.6, -5.4),
        ],
        hair,
        Label.HAIR,
    )
