"""A small data set of rendered scenes, and captioned pictures without people."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cfray.dataset import store
from cfray.dataset.schema import IMAGE, encode_png, set_schema
from cfray.world import corpora

SETS, IMAGES = 10, 4


@pytest.fixture(scope="session")
def rendered_sets(tmp_path_factory) -> str:
    """Ten sets of four pictures each. They are no counterfactuals of each other; the loop does not mind."""
    scenes = corpora.captioned_scenes(SETS * IMAGES, 11)
    rows = []
    for number in range(SETS):
        pictures = [encode_png(picture) for picture in scenes.pictures[number * IMAGES : (number + 1) * IMAGES]]
        variants = [{"image": p, "prompt": f"a woman {number}", "status": "kept", "attributes": {}} for p in pictures[1:]]
        mask = encode_png(scenes.pictures[0][:, :, 0] > 128)
        caption = scenes.captions[number * IMAGES][0]
        rows.append(
            {"set_id": f"{number:02}", "concept": "doctor", "caption": caption, "base": pictures[0], "mask": mask,
             "status": "kept", "variants": variants}
        )  # fmt: skip
    place = str(tmp_path_factory.mktemp("rendered") / "sets")
    store.write_part(place, pa.Table.from_pylist(rows, schema=set_schema(["gender"])))
    return place


@pytest.fixture(scope="session")
def captioned_things(tmp_path_factory) -> str:
    """A Parquet folder of 24 things with their class as caption."""
    things = corpora.things(24, 5)
    folder = tmp_path_factory.mktemp("things")
    pictures = pa.array([encode_png(picture) for picture in things.pictures], IMAGE)
    pq.write_table(pa.table({"image": pictures, "caption": things.labels["thing"]}), folder / "things.parquet")
    return str(folder)
