import numpy as np
import pyarrow as pa
import pytest

from cfray.errors import UserError
from cfray.generate.painters import composite
from cfray.generate.parser import region_labels
from cfray.generate.regions import dilate
from cfray.generate.stage import RowRejectedError, Stage

ATR = {0: "Background", 1: "Hat", 2: "Hair", 4: "Upper-clothes", 11: "Face", 14: "Left-arm", 15: "Right-arm"}


def test_composite_takes_the_mask_and_nothing_else():
    rng = np.random.default_rng(0)
    base, painted = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    mask = rng.random((8, 8)) < 0.5
    result = composite(base, painted, mask)
    assert np.array_equal(result[mask], painted[mask])
    assert np.array_equal(result[~mask], base[~mask])


def test_composite_refuses_other_sizes():
    with pytest.raises(ValueError, match="differ in size"):
        composite(np.zeros((8, 8, 3), np.uint8), np.zeros((16, 16, 3), np.uint8), np.zeros((8, 8), bool))


def test_regions_by_label_name():
    assert region_labels(ATR, "body") == [2, 11, 14, 15]
    assert region_labels(ATR, "person") == [1, 2, 4, 11, 14, 15]
    with pytest.raises(UserError, match="name no body part"):
        region_labels({0: "wall", 1: "person"}, "body")


def test_dilation_is_a_disc():
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    grown = dilate(mask, 2)
    assert grown[4, 6]
    assert grown[5, 5]
    assert not grown[6, 6]
    assert grown.sum() == 13
    assert np.array_equal(dilate(mask, 0), mask)
    assert not dilate(np.zeros((3, 3), bool), 2).any()


class _Picky(Stage):
    name = "picky"

    def process(self, row):
        if row["set_id"] == "bad":
            raise RowRejectedError("shape", "too square")
        if row["set_id"] == "broken":
            raise OSError("no such luck")
        row["caption"] = "done"


def test_an_error_marks_its_row_and_the_others_go_on():
    schema = pa.schema([("set_id", pa.string()), ("caption", pa.string()), ("status", pa.string()), ("error", pa.string())])
    rows = [{"set_id": name, "status": "rejected:before" if name == "old" else ""} for name in ("bad", "good", "broken", "old")]
    result = {row["set_id"]: row for row in _Picky()(pa.Table.from_pylist(rows, schema=schema)).to_pylist()}
    assert result["good"]["caption"] == "done"
    assert (result["bad"]["status"], result["bad"]["error"]) == ("rejected:shape", "too square")
    assert (result["broken"]["status"], result["broken"]["error"]) == ("failed:picky", "OSError: no such luck")
    assert (result["old"]["status"], result["old"]["caption"]) == ("rejected:before", None)
