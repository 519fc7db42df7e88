"""cfray's counterfactual sets as training images of a classifier."""

from __future__ import annotations

import numpy as np

from cfray.dataset.schema import KEPT
from cfray.dataset.store import read_sets
from cfray.errors import UserError
from cfray.groups.config import ClassifyConfig, CounterfactualsConfig

SOURCES = ("standard", "counterfactuals")


def sources_of(config: ClassifyConfig) -> set[str]:
    """What the methods augment with."""
    return {source for method in config.methods for source in method.augment}


def counterfactual_images(config: CounterfactualsConfig, classes: list[str]) -> tuple[list[bytes], np.ndarray]:
    """Encoded images of the kept counterfactuals that show a class, and their class ids (m,).

    A counterfactual is of a class if its set's concept is that of the class; with ``axis``, if it was asked for with the
    class's value on that axis.

    Raises:
        UserError: if there is no data set, the axis is not in it, or a class has no counterfactual.
    """
    shows = {config.classes.get(name, name): number for number, name in enumerate(classes)}
    images, labels, seen = [], [], set()
    for row in read_sets(config.data).to_pylist():
        for variant in row["variants"]:
            if variant["status"] != KEPT:
                continue
            attributes = variant["attributes"] or {}
            if config.axis is not None and config.axis not in attributes:
                known = ", ".join(attributes) or "none"
                raise UserError(f"counterfactuals.axis={config.axis!r} is not in {config.data!r}; it has {known}")
            shown = row["concept"] if config.axis is None else attributes[config.axis]
            seen.add(shown)
            if shown in shows:
                images.append(variant["image"]["bytes"])
                labels.append(shows[shown])
    absent = [name for name, number in zip(classes, range(len(classes)), strict=True) if number not in labels]
    if absent:
        raise UserError(
            f"class {absent[0]!r} has no counterfactual in {config.data!r}, which shows {', '.join(sorted(seen))}; name what "
            f"shows it as counterfactuals.classes.{absent[0]}"
        )
    return images, np.array(labels)
