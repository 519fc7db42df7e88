"""Appearance axes: the ways in which the people of a counterfactual set differ, as data, and the words for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import yaml

# Monk Skin Tone Scale, the ten published sRGB values (Monk 2022, skintone.google).
MONK_TONES: dict[int, tuple[int, int, int]] = {
    1: (0xF6, 0xED, 0xE4), 2: (0xF3, 0xE7, 0xDB), 3: (0xF7, 0xEA, 0xD0), 4: (0xEA, 0xDA, 0xBA), 5: (0xD7, 0xBD, 0x96),
    6: (0xA0, 0x7E, 0x56), 7: (0x82, 0x5C, 0x43), 8: (0x60, 0x41, 0x34), 9: (0x3A, 0x31, 0x2A), 10: (0x29, 0x24, 0x20),
}  # fmt: skip

# Groups of Monk steps over which skin tone fairness is measured; the middle of the scale is where skin visibly changes.
TONE_GROUPS: dict[str, tuple[int, ...]] = {"light": (1, 2, 3, 4), "medium": (5, 6, 7), "dark": (8, 9, 10)}


def tone_group(tone: int) -> str:
    """The group of a Monk step 1..10: light, medium or dark."""
    for group, steps in TONE_GROUPS.items():
        if tone in steps:
            return group
    raise ValueError(f"tone={tone!r} is not a Monk step; give 1 to 10")


@dataclass(frozen=True)
class AppearanceValue:
    """One value of an axis: the words a prompt uses (empty: none), and what checks read back.

    ``monk`` is the step of the Monk scale (skin tone only); ``read`` is a caption for a zero-shot reader.
    """

    phrase: str
    monk: int | None = None
    read: str | None = None


@dataclass(frozen=True)
class Axis:
    """A named axis of appearance; ``noun`` marks the axis whose phrase names the person ("woman")."""

    name: str
    values: dict[str, AppearanceValue]
    noun: bool = False


@dataclass(frozen=True)
class Appearances:
    """The axes of one appearance file, in the order of the file."""

    name: str
    axes: dict[str, Axis]

    def phrase(self, attributes: dict[str, str]) -> str:
        """Words for a person, for example ``an old slim woman with brown skin, long grey hair and a headscarf``.

        ``attributes`` maps axis names to value names. Axes may be left out; a missing noun axis gives "person".

        Raises:
            ValueError: if an axis or a value is not in the file.
        """
        words = {axis: self._value(axis, value).phrase for axis, value in attributes.items()}
        noun = next((words[name] for name, axis in self.axes.items() if axis.noun and name in words), "person")
        head = " ".join([words[axis] for axis in ("age", "body_type") if words.get(axis)] + [noun])
        hair = " ".join(words[axis] for axis in ("hair_style", "hair_colour") if axis in words)
        if hair and "hair_colour" not in words:
            hair += " hair"
        parts = [words.get("skin_tone"), hair, words.get("facial_hair"), words.get("head_covering")]
        *most, last = [part for part in parts if part] or [""]
        features = f"{', '.join(most)} and {last}" if most else last
        article = "an" if head[0] in "aeiou" else "a"
        return f"{article} {head}" + (f" with {features}" if features else "")

    def _value(self, axis: str, value: str) -> AppearanceValue:
        if axis not in self.axes:
            raise ValueError(f"axis {axis!r} is not in appearance file {self.name!r}; it has {', '.join(self.axes)}")
        values = self.axes[axis].values
        if value not in values:
            raise ValueError(f"{axis}={value!r} is not in appearance file {self.name!r}; it has {', '.join(values)}")
        return values[value]


@cache
def load_appearances(name: str) -> Appearances:
    """Read an appearance file: the path of a YAML file, or the name of one that ships with cfray.

    Raises:
        FileNotFoundError: if there is neither such a path nor such a shipped file.
    """
    path = find_data_file(name, kind="appearance")
    data = yaml.safe_load(path.read_text())
    axes = {
        axis: Axis(axis, {str(k): AppearanceValue(**v) for k, v in row["values"].items()}, row.get("noun", False))
        for axis, row in data["axes"].items()
    }
    return Appearances(data["name"], axes)


def find_data_file(name: str, *, kind: str) -> Path:
    """The path of a concepts data file by path or by shipped name; ``kind`` is the word for it in the error."""
    shipped = Path(str(resources.files("cfray.concepts").joinpath("data")))
    for candidate in (Path(name), shipped / f"{name}.yaml"):
        if candidate.is_file():
            return candidate
    known = ", ".join(sorted(path.stem for path in shipped.glob("*.yaml")))
    raise FileNotFoundError(f"{kind} file {name!r} not found; give the path of a YAML file or one of: {known}")
