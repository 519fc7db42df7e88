"""Exports kept sets as a WebDataset: tar shards that open_clip and the ``webdataset`` package read.

One sample is one image: ``ID.png``, ``ID.txt`` (the neutral caption) and ``ID.json`` (set, concept, appearance asked for),
with ID the set's id and ``base`` or the variant's number. The images of a set stand next to each other in one shard.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator
from typing import Any

from cfray import storage
from cfray.dataset.schema import KEPT
from cfray.dataset.store import PARTS, read_table
from cfray.errors import UserError


def export_shards(dataset: str, place: str, sets_per_shard: int) -> dict[str, Any]:
    """Write the kept sets of a data set as shards ``00000.tar``, ``00001.tar``, ... of ``sets_per_shard`` sets each.

    Returns:
        {"output", "shards", "sets", "images"}.

    Raises:
        UserError: if no set is kept, an id is none, or there are shards at ``place`` already.
    """
    if next(storage.list_files(place, ".tar"), None) is not None:
        raise UserError(f"{place!r} has shards already; give another webdataset.output or delete that folder")
    counts = {"output": place, "shards": 0, "sets": 0, "images": 0}
    shard: list[dict[str, Any]] = []
    for row in _kept_sets(dataset):
        shard.append(row)
        if len(shard) == sets_per_shard:
            _write(place, shard, counts)
            shard = []
    if shard:
        _write(place, shard, counts)
    if not counts["sets"]:
        raise UserError(f"data set {dataset!r} has no kept set; look at its record.json for the reasons")
    return counts


def samples_of(row: dict[str, Any]) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    """The images of a kept set as (key, PNG, facts): the base image and the kept variants."""
    about = {"set_id": row["set_id"], "recipe": row["recipe"], "concept": row["concept"], "caption": row["caption"]}
    yield f"{row['set_id']}-base", row["base"]["bytes"], about | {"variant": None, "attributes": None}
    for i, variant in enumerate(row["variants"]):
        if variant["status"] == KEPT:
            yield f"{row['set_id']}-{i}", variant["image"]["bytes"], about | {"variant": i, "attributes": variant["attributes"]}


def _kept_sets(dataset: str) -> Iterator[dict[str, Any]]:
    for part in storage.list_files(storage.join(dataset, PARTS), ".parquet"):
        for row in read_table(part).to_pylist():
            # Ids become names in the shards; whoever unpacks them must not be led out of a folder.
            if not re.fullmatch(r"[0-9a-f]{16}", row["set_id"]):
                raise UserError(f"{part!r} has set_id={row['set_id']!r}, which is no id of cfray's; make the data set again")
            if row["status"] == KEPT:
                yield row


def _write(place: str, rows: list[dict[str, Any]], counts: dict[str, Any]) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for row in rows:
            for key, png, about in samples_of(row):
                _add(tar, f"{key}.png", png)
                _add(tar, f"{key}.txt", row["caption"].encode())
                _add(tar, f"{key}.json", json.dumps(about).encode())
                counts["images"] += 1
    storage.write_bytes(storage.join(place, f"{counts['shards']:05d}.tar"), stream.getvalue())
    counts["shards"] += 1
    counts["sets"] += len(rows)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
