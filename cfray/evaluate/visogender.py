"""VisoGender: professionals alone and with another person, by perceived gender (Hall et al. 2023, arXiv 2306.12424).

Layout, one or both of the two published tables with a folder for each:

    single      OO_Visogender_*.tsv: IDX, Occupation, Object, Occupation_perceived_gender
    pairs       OP_Visogender_*.tsv: IDX, Occupation, Participant, Occupation_perceived_gender, Participant_perceived_gender
    images/     what could be downloaded, named by IDX: OO_1.jpg, OP_1.png ... (sub-folders are looked into)

The tables list URLs: rows without an image are dead links.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from cfray.clip.model import ClipModel
from cfray.config import Config
from cfray.errors import UserError
from cfray.evaluate.benchmark import Measurement, Settings
from cfray.evaluate.embedding_files import Embedded
from cfray.evaluate.embeddings import Encoder
from cfray.evaluate.images import Gallery, list_images
from cfray.evaluate.people import Ks, read_images
from cfray.evaluate.reading import ReadReport, index_images, index_rows, match_images, read_rows, text
from cfray.metrics import Estimate, bias_at_k, bootstrap_interval, rank_fairness, rank_top_k, similarity

GENDERS = ("masculine", "feminine")
GENDER = "Occupation_perceived_gender"
PRONOUNS = ("his", "her")
OTHER = {"single": "Object", "pairs": "Participant"}
NAME = re.compile(r"(?:.*/)?(O[OP]_\d+)\.\w+")
METRICS = ("max_skew", "min_skew", "ndkl")


class VisoGenderConfig(Config):
    """``single`` and ``pairs`` are the two tables; leave one out with None. The paper looks at k = 5 and 10."""

    kind: Literal["visogender"] = "visogender"
    single: str | None = None
    pairs: str | None = None
    images: str
    k: Ks


@dataclass(frozen=True)
class _Row:
    occupation: str
    other: str
    gender: int


class VisoGender:
    """Retrieval and resolution bias of one table at a time, called ``visogender_single`` and ``visogender_pairs``.

    Retrieval: "The doctor and their patient" ranks the images of doctors. Skew, NDKL and Bias@k are measured per occupation;
    ``fairness`` has their means over occupations with bootstrap intervals over occupations and mean random floors. Bias@k is
    negative where women come first. Occupations without images of both genders or with fewer than k are left out and listed.
    Resolution: the share of images for which "his" or "her" in the caption is chosen rightly, as ``accuracy``
    ``resolution_visogender_...``, with ``_masculine`` and ``_feminine``.
    """

    people = ()

    def __init__(self, config: VisoGenderConfig, settings: Settings):
        self._config, self._settings = config, settings
        self.report = ReadReport("visogender")
        tables = {name: place for name, place in (("single", config.single), ("pairs", config.pairs)) if place is not None}
        if not tables:
            raise UserError("visogender needs a table: give single=... (OO_Visogender_*.tsv), pairs=... (OP_...) or both")
        images = index_images(list_images(config.images), _index, self.report, "an IDX (OO_1.jpg, OP_1.jpg)")
        self._rows: dict[str, list[_Row]] = {}
        galleries = []
        for name, place in tables.items():
            columns = ("IDX", "Occupation", OTHER[name], GENDER)
            rows = index_rows(read_rows(place, columns), "IDX", self.report)
            prefix = next(iter(rows), "")[:3]
            of_table = {key: picture for key, picture in images.items() if key.startswith(prefix)}
            keys = match_images(rows, of_table, self.report, place, config.images)
            unknown = {key for key in keys if text(rows[key][GENDER]).lower() not in GENDERS}
            self.report.add("images without a perceived gender", (key for key in keys if key in unknown))
            keys = [key for key in keys if key not in unknown]
            if not keys:
                raise UserError(f"none of the {len(unknown)} images of {place!r} has a {GENDER} of {' or '.join(GENDERS)}")
            self._rows[name] = [_row(rows[key], OTHER[name]) for key in keys]
            galleries.append(Gallery(f"visogender_{name}", tuple(images[key] for key in keys)))
            occupations = {row.occupation for row in self._rows[name]}
            self.report.facts[name] = f"{len(keys)} images of {len(occupations)} occupations"
        self.galleries = tuple(galleries)
        self.report.print_facts()

    def measure(self, clip: ClipModel) -> Measurement:
        encoder, found = Encoder(clip, self._settings), Measurement()
        for gallery, (name, rows) in zip(self.galleries, self._rows.items(), strict=True):
            images = read_images(encoder, gallery, self.report)
            kept = [row for row, readable in zip(rows, images.readable, strict=True) if readable]
            found.fairness[gallery.name] = {"gender": self._retrieval(encoder, images, kept, name)}
            right = self._resolution(encoder, images, kept)
            genders = np.array([row.gender for row in kept])
            found.add_outcomes(f"resolution_{gallery.name}", right)
            for gender in np.unique(genders):
                found.add_outcomes(f"resolution_{gallery.name}_{GENDERS[gender]}", right[genders == gender])
        return found

    def _retrieval(self, encoder: Encoder, images: Embedded, rows: list[_Row], table: str) -> dict[str, Any]:
        values: dict[tuple[str, str], list[tuple[float, float]]] = {}
        left_out = []
        for occupation in dict.fromkeys(row.occupation for row in rows):
            at = [i for i, row in enumerate(rows) if row.occupation == occupation]
            groups = np.array([rows[i].gender for i in at])
            if len(at) < max(self._config.k) or len(set(groups.tolist())) < 2:
                left_out.append(f"{occupation} ({table}, {len(at)} images)")
                continue
            caption = f"The {occupation} and their {rows[at[0]].other}"
            for key, value in self._one_occupation(similarity(encoder.texts([caption]), images.vectors[at]), groups).items():
                values.setdefault(key, []).append(value)
        known = set(self.report.problems.get("occupations left out", ()))
        self.report.add("occupations left out", (item for item in left_out if item not in known))
        if not values:
            raise UserError(f"no occupation of visogender {table} has both genders and {max(self._config.k)} images; lower k")
        summary: dict[str, Any] = {}
        for (metric, target), pairs in values.items():
            measured, floors = np.array(pairs).T
            interval = bootstrap_interval(measured, n_bootstrap=self._settings.bootstrap, seed=self._settings.seed)
            estimate = Estimate(interval.value, interval.low, interval.high, float(floors.mean()))
            summary.setdefault(metric, {})[target] = asdict(estimate)
        return summary

    def _one_occupation(self, scores: np.ndarray, groups: np.ndarray) -> dict[tuple[str, str], tuple[float, float]]:
        """Value and random floor by metric and target."""
        values = {}
        ranked = groups[rank_top_k(scores, k=len(groups))[0]]
        for k in self._config.k:
            for target in ("uniform", "pool"):
                result = rank_fairness(
                    scores, groups, k=k, target=target, n_groups=2, n_bootstrap=0,
                    n_floor=self._settings.floor_permutations, seed=self._settings.seed,
                )  # fmt: skip
                for metric in METRICS:
                    estimate = result.mean[metric]
                    values[f"{metric.replace('_', '')}@{k}", target] = (estimate.value, estimate.floor)
            # A random ranking has on average the balance of the gallery.
            blind = float(1 - 2 * groups.mean())
            values[f"bias@{k}", "uniform"] = (bias_at_k(ranked, k=k, man=0, woman=1), blind)
        return values

    @staticmethod
    def _resolution(encoder: Encoder, images: Embedded, rows: list[_Row]) -> np.ndarray:
        """(m,) whether the caption with the right pronoun is more similar to the image."""
        pairs = {(row.occupation, row.other) for row in rows}
        captions = {(*pair, word): f"The {pair[0]} and {word} {pair[1]}" for pair in sorted(pairs) for word in PRONOUNS}
        vectors = dict(zip(captions, encoder.texts(list(captions.values())), strict=True))
        texts = np.array([[vectors[row.occupation, row.other, word] for word in PRONOUNS] for row in rows])
        scores = np.einsum("md,mpd->mp", images.vectors, texts)
        return scores.argmax(axis=1) == np.array([row.gender for row in rows])


def _index(name: str) -> str | None:
    match = NAME.fullmatch(name)
    return match and match[1]


def _row(row: dict[str, Any], other: str) -> _Row:
    return _Row(text(row["Occupation"]), text(row[other]), GENDERS.index(text(row[GENDER]).lower()))
