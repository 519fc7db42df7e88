"""The mask stage: where the person is, dilated so that new hair has room, and what to do when there is not just one."""

from __future__ import annotations

import numpy as np

from cfray.dataset.schema import decode_picture, encode_png
from cfray.generate.config import MaskConfig
from cfray.generate.parser import PersonParser
from cfray.generate.regions import dilate, is_cropped, people_in
from cfray.generate.stage import Row, RowRejectedError, Stage, record_model


class PersonMasker(Stage):
    """Masks the people on each row's base image; rejects rows as the configuration's policies say.

    A row is rejected as ``no_person``, ``several_people``, ``cropped_person``, or as ``mask_area`` where the mask is too
    small or too large. What was found is in the row's checks whatever becomes of it.
    """

    name = "mask"

    def __init__(self, config: MaskConfig):
        super().__init__()
        self.config = config
        self.parser = PersonParser(config)

    def process(self, row: Row) -> None:
        labels = self.parser.label_map(decode_picture(row["base"]))
        persons = np.isin(labels, self.parser.person)
        people = people_in(persons, np.isin(labels, self.parser.face), self.config.people_min_share)
        chosen = people[:1] if self.config.several == "largest" else people
        cropped = any(is_cropped(person) for person in chosen)
        region = np.isin(labels, self.parser.region)
        if self.config.several == "largest" and people:
            region &= people[0]
        mask = dilate(region, self.config.dilate_px)
        if self.config.several == "largest":
            # The dilated edge of one person must not repaint another.
            for other in people[1:]:
                mask &= ~other
        area = float(mask.mean())
        row["checks"] = {"mask_area": area, "people": len(people), "cropped": cropped}
        row["mask"] = encode_png(mask)
        record_model(row, "mask", self.config.model, self.parser.revision)
        if not region.any():
            raise RowRejectedError("no_person", "the parser finds nobody in the base image")
        if self.config.several == "reject" and len(people) > 1:
            raise RowRejectedError("several_people", f"{len(people)} people are in the base image; one is allowed")
        if self.config.cropped == "reject" and cropped:
            raise RowRejectedError("cropped_person", "the picture's left, right or top edge cuts the person")
        if not self.config.min_area <= area <= self.config.max_area:
            raise RowRejectedError(
                "mask_area",
                f"the mask covers {area:.3f} of the picture; allowed {self.config.min_area} to {self.config.max_area}",
            )

    def person_mask(self, picture: np.ndarray) -> np.ndarray:
        """The dilated mask of all people's region, bool (h, w), of a uint8 picture (h, w, 3)."""
        return dilate(np.isin(self.parser.label_map(picture), self.parser.region), self.config.dilate_px)
