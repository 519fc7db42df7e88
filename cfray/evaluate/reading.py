"""What a reader found and what it left out, counted and listed; rows of label files; rows against images."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from cfray import storage
from cfray.errors import UserError
from cfray.evaluate.images import Picture

SHOWN = 5
K = TypeVar("K", bound=Hashable)


@dataclass
class ReadReport:
    """What one benchmark read.

    ``facts`` are values by what they are, for example ``{"split": "val", "images": 2500}``. ``problems`` are the items of
    each kind that were left out, by the kind in the plural ("unreadable images"), complete and in the order met.
    """

    benchmark: str
    facts: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, items: Iterable[str]) -> None:
        """Note items of one kind and print them; nothing happens without an item."""
        items = list(items)
        if items:
            self.problems.setdefault(kind, []).extend(items)
            print(self._problem(kind, items), flush=True)

    def print_facts(self) -> None:
        """Print one line: the benchmark and its facts."""
        parts = [f"{value:,} {key}" if isinstance(value, int) else f"{key} {value}" for key, value in self.facts.items()]
        print(f"[{self.benchmark}] {', '.join(parts)}", flush=True)

    def to_dict(self) -> dict[str, Any]:
        """Facts and the complete list of problems, ready for JSON."""
        return {"benchmark": self.benchmark, "facts": self.facts, "problems": self.problems}

    def _problem(self, kind: str, items: list[str]) -> str:
        more = f" and {len(items) - SHOWN:,} more" if len(items) > SHOWN else ""
        return f"[{self.benchmark}] {len(items):,} {kind}: {', '.join(items[:SHOWN])}{more}"


def read_rows(place: str, columns: Sequence[str] = (), optional: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The rows of a .csv, .tsv, .jsonl or .parquet file as dictionaries; text files are UTF-8 with a heading line.

    Args:
        place: the file.
        columns: columns that must be there; of Parquet nothing is read but these and the optional ones.
        optional: columns that may be missing.

    Raises:
        UserError: if the file is missing, empty, of another kind or damaged, or lacks a column.
    """
    suffix = place.rpartition(".")[2].lower()
    if suffix not in ("csv", "tsv", "jsonl", "parquet"):
        raise UserError(f"label file {place!r} is of an unknown kind; give .csv, .tsv, .jsonl or .parquet")
    content = storage.read_bytes(place)
    try:
        if suffix == "parquet":
            rows = _parquet_rows(place, content, columns, optional)
        else:
            rows = _text_rows(place, content.decode("utf-8-sig"), suffix)
    except (UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise UserError(f"label file {place!r} cannot be read as {suffix}: {str(error).splitlines()[0]}") from None
    if not rows:
        raise UserError(f"label file {place!r} has no row")
    _require_columns(place, columns, list(rows[0]))
    return rows


def text(value: Any) -> str:
    """A cell as stripped text; what is missing (None, NaN) is the empty text."""
    return "" if value is None or value != value else str(value).strip()


def index_rows(rows: Sequence[dict[str, Any]], column: str, report: ReadReport) -> dict[str, dict[str, Any]]:
    """Rows by the text of a column. The first of several rows counts; the others and rows without a text go to the report."""
    indexed: dict[str, dict[str, Any]] = {}
    nameless, again = [], []
    for number, row in enumerate(rows, start=1):
        key = text(row.get(column))
        if not key:
            nameless.append(f"row {number}")
        elif key in indexed:
            again.append(key)
        else:
            indexed[key] = row
    report.add(f"rows without a {column}", nameless)
    report.add("rows about an image that had one before", again)
    return indexed


def index_images(images: dict[str, Picture], key: Callable[[str], K | None], report: ReadReport, what: str) -> dict[K, Picture]:
    """Images by a key of their names. Images without a key and those whose key another one has go to the report.

    Args:
        images: see ``list_images``.
        key: maps a name to its key, None where it has none.
        what: the key in words, for the report: "the number of a line".
    """
    indexed: dict[K, Picture] = {}
    malformed, again = [], []
    for name, picture in images.items():
        found = key(name)
        if found is None:
            malformed.append(name)
        elif found in indexed:
            again.append(name)
        else:
            indexed[found] = picture
    report.add(f"images not named by {what}", malformed)
    report.add(f"images with {what} of another one", again)
    return indexed


def match_images(rows: Iterable[str], images: dict[str, Picture], report: ReadReport, labels: str, folder: str) -> list[str]:
    """The names of ``rows`` that are in ``images``; what is on one side only goes to the report.

    Raises:
        UserError: if no name is on both sides; the message has both numbers and a name of each side.
    """
    rows = dict.fromkeys(rows)
    both = [name for name in rows if name in images]
    if not both:
        examples = f"{next(iter(rows), 'none')!r} and {next(iter(images), 'none')!r}"
        raise UserError(
            f"label file {labels!r} names {len(rows)} images and folder {folder!r} has {len(images)}, none of them the same "
            f"({examples}); give the folder that the names are relative to"
        )
    report.add("rows without an image", [name for name in rows if name not in images])
    report.add("images without a row", [name for name in images if name not in rows])
    return both


def _parquet_rows(place: str, content: bytes, columns: Sequence[str], optional: Sequence[str]) -> list[dict[str, Any]]:
    file = pq.ParquetFile(io.BytesIO(content))
    have = file.schema_arrow.names
    _require_columns(place, columns, have)
    return file.read(columns=[*columns, *(name for name in optional if name in have)] or None).to_pylist()


def _text_rows(place: str, content: str, suffix: str) -> list[dict[str, Any]]:
    if suffix != "jsonl":
        # Tables with tabs hold URLs and sentences, where a quotation mark is a character like any other.
        tabs = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if suffix == "tsv" else {}
        return list(csv.DictReader(io.StringIO(content), **tabs))
    rows = []
    for number, line in enumerate(content.splitlines(), start=1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise UserError(f"line {number} of {place!r} is no JSON: {error}") from None
            if not isinstance(rows[-1], dict):
                raise UserError(f"line {number} of {place!r} is no JSON object: {line[:40]}")
    # A line may leave out what it has no value of.
    names = dict.fromkeys(name for row in rows for name in row)
    return [dict.fromkeys(names) | row for row in rows]


def _require_columns(place: str, columns: Iterable[str], have: list[str]) -> None:
    missing = [column for column in columns if column not in have]
    if missing:
        raise UserError(f"label file {place!r} has no column {missing[0]!r}; it has {', '.join(have)}")
