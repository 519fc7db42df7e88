"""Scenes of the tiny world: a context (place, attire, tool) and a person in it, rendered with an exact label map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import yaml

from cfray.concepts.appearance import MONK_TONES
from cfray.world.attire import HATS, Attire, draw_torso
from cfray.world.canvas import Canvas, Label, Pen, shade
from cfray.world.people import Person, draw_back_hair, draw_head, draw_neck, shoulder_width
from cfray.world.places import PLACES
from cfray.world.tools import TOOLS

BODY_LABELS = (Label.HAIR, Label.FACE, Label.LEFT_LEG, Label.RIGHT_LEG, Label.LEFT_ARM, Label.RIGHT_ARM)


@dataclass(frozen=True)
class Context:
    """What makes a scene: a key of ``PLACES``, a key of ``TOOLS`` and what is worn."""

    place: str
    tool: str
    attire: Attire


@dataclass(frozen=True)
class Profession:
    """How a profession is painted and how the biased corpus skews it.

    ``feminine`` is a share in [0, 1]; ``tones`` are the shares of the light, medium and dark groups and sum to 1.
    """

    name: str
    context: Context
    feminine: float
    tones: tuple[float, float, float]


@dataclass(frozen=True)
class Render:
    """A picture, uint8 (64, 64, 3), and its ATR label map, uint8 (64, 64)."""

    picture: np.ndarray
    labels: np.ndarray

    @property
    def body_mask(self) -> np.ndarray:
        """Where hair, face, arms or legs are, bool (64, 64)."""
        return np.isin(self.labels, BODY_LABELS)


@cache
def professions() -> dict[str, Profession]:
    """The professions of ``data/professions.yaml`` by name."""
    text = resources.files("cfray.world").joinpath("data/professions.yaml").read_text()
    return {
        name: Profession(
            name,
            Context(row["place"], row["tool"], _attire(**row["attire"])),
            row["skew"]["feminine"],
            tuple(row["skew"]["tones"]),
        )
        for name, row in yaml.safe_load(text).items()
    }


def _attire(colour: list[int], detail: str, detail_colour: list[int], hat: str | None) -> Attire:
    return Attire(tuple(colour), detail, tuple(detail_colour), hat)


def render_scene(context: Context, person: Person, rng: np.random.Generator, *, close_up: bool = False) -> Render:
    """Render ``person`` in ``context``; ``close_up`` frames the head and shoulders and leaves the tool out."""
    canvas = Canvas()
    PLACES[context.place](canvas.pen(), rng)
    scale = rng.uniform(1.5, 1.75) if close_up else rng.uniform(0.98, 1.18)
    x, y = 32 + rng.uniform(-4, 4), (25 if close_up else 24) + rng.uniform(-2, 2)
    side = int(rng.choice((-1, 1)))
    _draw_figure(canvas.pen(x, y, scale), person, context.attire)
    if not close_up:
        _draw_arm_and_tool(canvas, (x, y), scale, side, person, context, rng)
    return _finish(canvas, rng)


_PORTRAIT_CLOTHES = ((120, 128, 140), (150, 140, 128), (96, 104, 112), (170, 170, 170), (134, 142, 126))


def render_portrait(person: Person, rng: np.random.Generator) -> Render:
    """Render a head and shoulders in plain clothes before a plain background: a person without a context."""
    level = int(rng.integers(150, 215))
    tint = rng.integers(-12, 13, size=3)
    canvas = Canvas(tuple(int(level + t) for t in tint))
    attire = Attire(_PORTRAIT_CLOTHES[rng.integers(len(_PORTRAIT_CLOTHES))], "plain", (80, 80, 84), None)
    pen = canvas.pen(32 + rng.uniform(-3, 3), 28 + rng.uniform(-2, 2), rng.uniform(1.4, 1.75))
    _draw_figure(pen, person, attire)
    return _finish(canvas, rng)


def _draw_figure(pen: Pen, person: Person, attire: Attire) -> None:
    draw_back_hair(pen, person)
    draw_neck(pen, person)
    draw_torso(pen, attire, shoulder_width(person))
    draw_head(pen, person)
    if attire.hat:
        HATS[attire.hat](pen)


def _draw_arm_and_tool(
    canvas: Canvas,
    head: tuple[float, float],
    scale: float,
    side: int,
    person: Person,
    context: Context,
    rng: np.random.Generator,
) -> None:
    """One arm raised at the elbow with the tool in its hand, the other hanging; sleeves are clothes, hands are skin."""
    skin = MONK_TONES[person.tone]
    pen = canvas.pen(head[0], head[1], scale)
    width = shoulder_width(person)
    sleeve = shade(context.attire.colour, 0.86)
    for which, label in ((-1, Label.RIGHT_ARM), (1, Label.LEFT_ARM)):
        shoulder, elbow = (which * (width - 1.5), 16), (which * (width + 1.5), 27)
        hand = (which * (width + 3.5), 21) if which == side else (which * (width - 0.5), 36)
        pen.line([shoulder, elbow], sleeve, 4.6, Label.UPPER_CLOTHES)
        pen.line([elbow, hand], skin, 3.6, label)
        pen.ellipse(*hand, 2.6, 2.6, skin, label)
        if which == side:
            place = (head[0] + hand[0] * scale, head[1] + (hand[1] - 3) * scale)
            TOOLS[context.tool](canvas.pen(*place, scale * 0.92, side * rng.uniform(-4, 16)))
            pen.ellipse(*hand, 1.9, 1.9, skin, label)


def _finish(canvas: Canvas, rng: np.random.Generator) -> Render:
    picture = canvas.picture().astype(np.float32) * rng.uniform(0.94, 1.05)
    picture += rng.normal(0, 3.0, size=picture.shape)
    return Render(np.clip(picture, 0, 255).round().astype(np.uint8), canvas.label_map())
