"""The page of a sweep: one HTML file with plotly's script in it; its points tell the command that exports their checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cfray import storage
from cfray.errors import UserError
from cfray.report.words import duration, number, percent
from cfray.sweep.config import SweepConfig
from cfray.sweep.findings import distinct_points, export_command

RELOAD_SECONDS = 15
PAGE = "sweep.html"


def write_page(config: SweepConfig, rows: pd.DataFrame, result: Mapping[str, Any], *, running: bool) -> str:
    """Write the page beside the sweep's rows and return its place; while the sweep is ``running`` the page reloads itself."""
    place = storage.join(config.output, PAGE)
    storage.write_bytes(place, render_page(config, rows, result, running=running).encode())
    return place


def render_page(config: SweepConfig, rows: pd.DataFrame, result: Mapping[str, Any], *, running: bool) -> str:
    """The page as HTML that asks for nothing else.

    Args:
        config: the sweep.
        rows: of its store, of trials that have ended and of those that have not.
        result: what ``findings.conclude`` made of them, with ``overhead`` and the chosen point's ``reported`` where known.
        running: whether more rows are to come.

    Raises:
        UserError: if plotly is not installed.
    """
    from cfray.sweep import figures

    points = distinct_points(rows)
    drawn = {} if points.empty else figures.draw(config, points, rows, result)
    details = [
        {
            "trial": row.trial, "alpha": row.alpha, "parameters": row.parameters, "maxskew": row.maxskew, "floor": row.floor,
            "lost": row.accuracy_lost, "command": export_command(config, row.trial, row.alpha),
        }
        for row in points.itertuples()
    ]  # fmt: skip
    templates = Environment(
        loader=PackageLoader("cfray.sweep", "data"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    style = resources.files("cfray.report").joinpath("data", "page.css").read_text(encoding="utf-8")
    return templates.get_template("sweep.html.j2").render(
        style=Markup(style), plotly=Markup(require_plotly().offline.get_plotlyjs()), result=result, running=running,
        reload=RELOAD_SECONDS, output=config.output, constraint=config.constraint, trials=config.trials,
        figures={name: _json(json.loads(figure.to_json())) for name, figure in drawn.items()}, details=_json(details),
        script=Markup(resources.files("cfray.sweep").joinpath("data", "sweep.js").read_text(encoding="utf-8")),
        number=number, percent=percent, duration=duration, names=figures.NAMES, words=figures.parameter_words,
    )  # fmt: skip


def require_plotly():
    """Plotly.

    Raises:
        UserError: if it is not installed.
    """
    try:
        import plotly
    except ImportError:
        raise UserError("the page of a sweep needs plotly; pip install 'cfray[sweep]'") from None
    return plotly


def _json(data: Any) -> Markup:
    """Data as JSON that can stand in a <script> element."""
    return Markup(json.dumps(data).replace("<", "\\u003c"))
