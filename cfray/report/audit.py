"""The audit of a data set as text and as a page with contact sheets."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from cfray.concepts.appearance import MONK_TONES
from cfray.report.page import _data
from cfray.report.words import number, percent, plain

_THUMBNAIL = 112  # pixels; a page of 400 sets with 7 pictures each stays near 15 MB
_COLOURS = ("#0072b2", "#e69f00", "#00805c", "#cc79a7", "#56b4e9", "#b35a00", "#7a5195", "#6b6b00", "#444b55", "#c3cad2")
INFORMATION = {
    "base": "base images, as read: the generator's own bias",
    "kept_requested": "kept variants, as asked",
    "kept_read": "kept variants, as read",
}
COUNTS = {"base_read": "base images, read", "kept_requested": "kept variants, asked", "kept_read": "kept variants, read"}


class Thumbnail(NamedTuple):
    """A small JPEG as a data URI, the words under it, and whether it is kept."""

    uri: str
    words: str
    kept: bool


class Sheet(NamedTuple):
    """One set on a contact sheet."""

    caption: str
    status: str
    pictures: list[Thumbnail]


def sheet_of(row: Mapping[str, Any]) -> Sheet:
    """The contact sheet of a row of a data set whose base image is painted."""
    pictures = [Thumbnail(_uri(row["base"]["bytes"]), "base", True)]
    for variant in row["variants"]:
        if variant["image"] is not None:
            words = ", ".join(f"{plain(axis)} {value}" for axis, value in variant["attributes"].items())
            kept = variant["status"] == "kept"
            refusal = "" if kept else f"; {variant['status']}"
            pictures.append(Thumbnail(_uri(variant["image"]["bytes"]), words + refusal, kept))
    return Sheet(row["caption"], row["status"], pictures)


def audit_text(result: Mapping[str, Any]) -> str:
    """The audit in plain lines: counts, then per axis what was read and what concepts tell, then diversity."""
    sets, images, diversity = result["sets"], result["images"], result["diversity"]
    lines = [
        f"sets: {sets['planned']} planned, {sets['kept']} kept, rejected {sets['rejected']}, failed {sets['failed']}",
        f"images read: {images['base']} base, {images['variants']} variants, {images['kept_variants']} of them kept",
    ]
    for axis, found in result["axes"].items():
        lines += ["", f"{plain(axis)}, read by {found['reader'] or 'nothing: no reader and no words to read it by'}"]
        for which, shares in found["agreement"].items():
            if shares:
                words = ", ".join(f"{plain(name)} {percent(share)}" for name, share in shares.items())
                lines.append(f"  read as asked, {which} variants: {words}")
        for which, counts in found["counts"].items():
            if any(counts.values()):
                lines.append(f"  {COUNTS[which]}: " + ", ".join(f"{value} {n}" for value, n in counts.items()))
        lines += [
            f"  mutual information of concept and {plain(axis)}, {INFORMATION[which]}: {number(told['value'])} nats "
            f"(by chance {number(told['floor'])}, at most {number(told['entropy'])})"
            for which, told in found["information"].items()
            if told
        ]
    scores = [f"{plain(which)} {number(diversity[which], 1)}" for which in ("base", "kept_variants") if diversity[which]]
    lines += ["", f"Vendi score over {result['clip']}: " + ", ".join(scores)]
    coverage = result["coverage"]
    names = {cluster["name"]: described(cluster) for cluster in coverage["clusters"]}
    lines.append(f"appearance clusters: {len(names) or 'none, ' + coverage['reason']}")
    lines += [f"  {concept} lacks {'; '.join(names[name] for name in found['lacks'])}"
              for concept, found in coverage["concepts"].items() if found.get("lacks")]  # fmt: skip
    if "webdataset" in result:
        lines.append("exported: {shards} shards with {sets} sets, {images} images at {output}".format(**result["webdataset"]))
    return "\n".join(lines) + "\n"


def described(cluster: Mapping[str, Any]) -> str:
    """A cluster in words: its name and what its variants were asked for most."""
    asked = (f"{plain(axis)} {told['value']} {percent(told['share'], 0)}" for axis, told in cluster["asked"].items())
    return f"{cluster['name']} ({', '.join(asked)})"


def render_audit(result: Mapping[str, Any], sheets: Mapping[str, Sequence[Sheet]]) -> str:
    """A self-contained HTML page of the audit; every string is escaped, the pictures are those of ``sheets``."""
    loader = PackageLoader("cfray.report", "data")
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return templates.get_template("audit.html.j2").render(
        title="Audit of a data set", style=Markup(_data("page.css")), result=result, sheets=sheets, plain=plain, number=number,
        percent=percent, information=INFORMATION, counts=COUNTS, described=described,
        colours={axis: colours_of(list(found["counts"]["kept_requested"])) for axis, found in result["axes"].items()},
    )  # fmt: skip


def colours_of(values: list[str]) -> dict[str, str]:
    """A colour for each value of an axis: steps of the Monk scale have their own."""
    if all(value.isdigit() and int(value) in MONK_TONES for value in values):
        return {value: "#" + "".join(f"{channel:02x}" for channel in MONK_TONES[int(value)]) for value in values}
    return {value: _COLOURS[i % len(_COLOURS)] for i, value in enumerate(values)}


def _uri(png: bytes) -> str:
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
