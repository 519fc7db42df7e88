"""A comparison as a table of rows, as CSV and as text."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any


def table(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per model and measure: model, gallery, attribute, metric, target, value, low, high, floor and the difference."""
    rows = []
    for name, point in result["models"].items():
        against = result["differences"].get(name, {"fairness": {}, "accuracy": {}})
        for gallery, attributes in point["fairness"].items():
            for attribute, summary in attributes.items():
                differences = against["fairness"].get(gallery, {}).get(attribute, {})
                for metric in (key for key in summary if "@" in key):
                    for target, measure in summary[metric].items():
                        difference = differences.get(metric, {}).get(target, {})
                        rows.append(_row(name, gallery, attribute, metric, target, measure, difference))
        for gallery, attributes in point.get("able", {}).items():
            for attribute, scores in attributes.items():
                rows += [_row(name, gallery, attribute, key, "uniform", {"value": v}, {}) for key, v in scores.items()]
        for metric, value in point["accuracy"].items():
            rows.append(_row(name, "", "", metric, "", {"value": value}, against["accuracy"].get(metric, {})))
    return rows


def _row(model: str, gallery: str, attribute: str, metric: str, target: str, measure: Mapping, difference: Mapping) -> dict:
    row = {"model": model, "gallery": gallery, "attribute": attribute, "metric": metric, "target": target}
    row |= {key: measure.get(key) for key in ("value", "low", "high", "floor")}
    names = {"difference": "value", "difference_low": "low", "difference_high": "high"}
    return row | {name: difference.get(key) for name, key in names.items()}


def as_csv(result: Mapping[str, Any]) -> str:
    """``table`` as CSV; empty cells where there is no such number."""
    rows, buffer = table(result), io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def as_text(result: Mapping[str, Any]) -> str:
    """One line per measure and model; a star marks a difference whose interval leaves out 0."""
    lines, rows = [f"differences are against {result['reference']}; * its 95 % interval leaves out 0"], table(result)
    places = dict.fromkeys((row["gallery"], row["attribute"], row["metric"], row["target"]) for row in rows)
    width = max(len(row["model"]) for row in rows)
    for place in places:
        lines.append(" ".join(part for part in place if part))
        for row in rows:
            if (row["gallery"], row["attribute"], row["metric"], row["target"]) == place:
                words = [f"  {row['model']:<{width}}  {row['value']:7.4f}"]
                if row["low"] is not None:
                    words.append(f"({row['low']:.4f} to {row['high']:.4f})  floor {row['floor']:.4f}")
                if row["difference"] is not None:
                    star = "" if row["difference_low"] <= 0 <= row["difference_high"] else " *"
                    low, high = row["difference_low"], row["difference_high"]
                    words.append(f" difference {row['difference']:+.4f} ({low:+.4f} to {high:+.4f}){star}")
                lines.append(" ".join(words))
    return "\n".join(lines) + "\n"
