"""The figures of a sweep's page, by plotly. A mark of the first one carries the number of its point, for the page's script."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from cfray.report.words import benchmark_label, metric_label, plain
from cfray.sweep.config import Dimension, SweepConfig
from cfray.sweep.findings import trial_results
from cfray.sweep.objectives import WORST_LOSS

INK, SOFT, MARK, FRONT = "#1b2430", "#98a2ae", "#b83a00", "#0072b2"
NAMES = {
    "maxskew_above_floor": "excess MaxSkew", "accuracy_lost": "accuracy lost", "ndkl": "NDKL", "able": "ABLE",
    "hypervolume": "hypervolume",
}  # fmt: skip


def draw(config: SweepConfig, points: pd.DataFrame, rows: pd.DataFrame, result: Mapping[str, Any]) -> dict[str, go.Figure]:
    """The figures by the id of their place in the page; ``points`` are distinct, ``rows`` all rows, ``result`` conclusions."""
    figures = {"front": front(points, result), "attributes": attributes(points, result)}
    trials = [(parameters, told) for parameters, told in trial_results(config, rows).values() if told is not None]
    if len(trials) > 1:
        figures["parallel"] = parallel(config.space, trials)
    if result["importance"]:
        figures["importance"] = importance(result["importance"])
    return figures


def front(points: pd.DataFrame, result: Mapping[str, Any]) -> go.Figure:
    """MaxSkew against accuracy lost: all points, the trials' paths over alpha, the front, the floor, base, knee and choice."""
    figure = go.Figure()
    base = points[points["alpha"] == 0]
    for _, of_trial in points.groupby("trial"):
        path = pd.concat([base, of_trial[of_trial["alpha"] > 0]])
        figure.add_scatter(
            x=_lost(path), y=path["maxskew"], mode="lines", line={"color": "#dfe4ea", "width": 1}, hoverinfo="skip",
            showlegend=False,
        )  # fmt: skip
    figure.add_hline(
        y=float(points["floor"].mean()), line={"color": INK, "dash": "dash", "width": 1.4},
        annotation={"text": "random floor", "yanchor": "bottom", "xanchor": "right"},
    )  # fmt: skip
    on_front = result["front"]
    figure.add_scatter(
        x=[100 * row["accuracy_lost"] for row in on_front], y=[row["maxskew"] for row in on_front], mode="lines",
        line={"color": FRONT, "width": 2, "shape": "hv"}, name="front", hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(
        x=_lost(points), y=points["maxskew"], mode="markers", name="trial at α", customdata=list(range(len(points))),
        text=[f"{row.trial} at α = {row.alpha:g}<br>{parameter_words(row.parameters)}" for row in points.itertuples()],
        hovertemplate="%{text}<br>MaxSkew %{y:.3f}, accuracy lost %{x:.2f} points<extra></extra>",
        marker={
            "size": 8, "color": points["alpha"], "colorscale": "Viridis", "cmin": 0, "cmax": 1,
            "colorbar": {"title": {"text": "α"}, "thickness": 14}, "line": {"color": "#fff", "width": 0.5},
        },
        selected={"marker": {"size": 12}}, unselected={"marker": {"opacity": 0.35}},
    )  # fmt: skip
    for name, symbol, colour in (("base", "square", INK), ("knee", "diamond", FRONT), ("chosen", "star", MARK)):
        row = result.get(name)
        if row is not None:
            figure.add_scatter(
                x=[100 * row["accuracy_lost"]], y=[row["maxskew"]], mode="markers", hoverinfo="skip",
                name={"base": "original model"}.get(name, name),
                marker={"symbol": f"{symbol}-open", "size": 18, "color": colour, "line": {"width": 2.5}},
            )  # fmt: skip
    figure.update_layout(
        dragmode="select", clickmode="event+select", height=560, legend={"orientation": "h", "y": 1.08},
        xaxis={"title": {"text": "accuracy lost, points"}, "range": _worth_seeing(points)},
        yaxis={"title": {"text": "MaxSkew, first gallery, mean over attributes"}, "range": _with_floor(points)},
    )  # fmt: skip
    return _plain(figure)


def attributes(points: pd.DataFrame, result: Mapping[str, Any]) -> go.Figure:
    """A panel for every gallery and attribute: MaxSkew of the first k against accuracy lost, with its floor."""
    fairness = points["point"].iloc[0]["fairness"]
    panels = [(gallery, attribute) for gallery, of in fairness.items() for attribute in of]
    columns = min(4, len(panels))
    figure = make_subplots(
        rows=-(-len(panels) // columns), cols=columns, vertical_spacing=0.16,
        subplot_titles=[f"{benchmark_label(gallery)}<br>{plain(attribute)}" for gallery, attribute in panels],
    )  # fmt: skip
    chosen = result["chosen"]
    is_chosen = np.zeros(len(points), bool)
    if chosen is not None:
        is_chosen = ((points["trial"] == chosen["trial"]) & (points["alpha"] == chosen["alpha"])).to_numpy()
    for number, (gallery, attribute) in enumerate(panels):
        key = next(key for key in fairness[gallery][attribute] if key.startswith("maxskew@"))
        found = [point["fairness"][gallery][attribute][key]["uniform"] for point in points["point"]]
        values = np.array([row["value"] for row in found])
        place = {"row": number // columns + 1, "col": number % columns + 1}
        figure.add_scatter(
            x=_lost(points), y=values, mode="markers", marker={"size": 5, "color": points["alpha"], "colorscale": "Viridis"},
            hovertemplate=f"{metric_label(key)} %{{y:.3f}}, lost %{{x:.2f}} points<extra></extra>", showlegend=False, **place,
        )  # fmt: skip
        figure.add_scatter(
            x=_lost(points[is_chosen]), y=values[is_chosen], mode="markers", showlegend=False, hoverinfo="skip",
            marker={"symbol": "star-open", "size": 14, "color": MARK, "line": {"width": 2}}, **place,
        )  # fmt: skip
        floor = float(np.mean([row["floor"] for row in found]))
        figure.add_hline(y=floor, line={"color": INK, "dash": "dash", "width": 1}, **place)
    figure.update_layout(height=300 * -(-len(panels) // columns) + 40)
    figure.update_annotations(font={"size": 13})
    return _plain(figure)


def parallel(space: Mapping[str, Dimension], trials: list[tuple[dict[str, Any], dict[str, float]]]) -> go.Figure:
    """Parallel coordinates of the trials: parameters, then what each trial was told to be worth; colour is hypervolume."""
    dimensions = [_axis(key, dimension, [parameters[key] for parameters, _ in trials]) for key, dimension in space.items()]
    for name in ("maxskew_above_floor", "accuracy_lost", "hypervolume"):
        dimensions.append({"label": NAMES[name], "values": [told[name] for _, told in trials]})
    figure = go.Figure(
        go.Parcoords(
            dimensions=dimensions, labelfont={"size": 12},
            line={"color": [told["hypervolume"] for _, told in trials], "colorscale": "Viridis", "showscale": True,
                  "colorbar": {"title": {"text": "hypervolume"}, "thickness": 14}},
        )
    )  # fmt: skip
    figure.update_layout(height=420)
    return _plain(figure, margin={"l": 70, "r": 40, "t": 60, "b": 30})


def importance(shares: Mapping[str, Mapping[str, float]]) -> go.Figure:
    """Bars: the share of each objective's variance that a parameter explains."""
    keys = sorted(next(iter(shares.values())), key=lambda key: sum(of.get(key, 0) for of in shares.values()))
    figure = go.Figure()
    for objective, of in shares.items():
        figure.add_bar(y=keys, x=[of.get(key, 0) for key in keys], orientation="h", name=NAMES[objective])
    figure.update_layout(
        barmode="group", height=140 + 70 * len(keys), xaxis={"title": {"text": "share of the variance among trials"}},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "traceorder": "normal"}, yaxis={"automargin": True},
    )  # fmt: skip
    return _plain(figure, margin={"l": 70, "r": 20, "t": 90, "b": 55})


def parameter_words(parameters: Mapping[str, Any]) -> str:
    """``learning_rate 0.0001, loss.beta_cf 4``."""
    return ", ".join(f"{key} {_value_words(value)}" for key, value in parameters.items())


def _value_words(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return json.dumps(value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _axis(key: str, dimension: Dimension, values: list[Any]) -> dict[str, Any]:
    """One axis of parameters: choices by their number, logarithms where the search took them."""
    if dimension.choice is not None:
        ticks = {"tickvals": list(range(len(dimension.choice))), "ticktext": [_value_words(one) for one in dimension.choice]}
        return {"label": key, "values": [dimension.choice.index(value) for value in values], **ticks}
    if not dimension.log:
        return {"label": key, "values": values, "range": [dimension.low, dimension.high]}
    ends = np.log10([dimension.low, dimension.high])
    ticks = np.linspace(*ends, 5)
    return {
        "label": key, "values": np.log10(values).tolist(), "range": ends.tolist(), "tickvals": ticks.tolist(),
        "ticktext": [f"{10**tick:.2g}" for tick in ticks],
    }  # fmt: skip


def _with_floor(points: pd.DataFrame) -> list[float]:
    """A range of the y axis that leaves room below the random floor, so that its line is not the axis."""
    low = min(points["floor"].mean(), points["maxskew"].min())
    margin = 0.08 * (points["maxskew"].max() - low)
    return [float(low - margin), float(points["maxskew"].max() + margin)]


def _worth_seeing(points: pd.DataFrame) -> list[float]:
    """A range of the x axis that ends where models are of no use, or before if none is there."""
    low, high = _lost(points).min(), min(_lost(points).max(), 100 * WORST_LOSS)
    margin = 0.05 * max(high - low, 1.0)
    return [float(low - margin), float(high + margin)]


def _lost(points: pd.DataFrame) -> pd.Series:
    return 100 * points["accuracy_lost"]


def _plain(figure: go.Figure, **layout: Any) -> go.Figure:
    figure.update_layout(
        template="simple_white", font={"color": INK, "size": 14},
        **{"margin": {"l": 70, "r": 20, "t": 50, "b": 55}, **layout},
    )  # fmt: skip
    return figure
