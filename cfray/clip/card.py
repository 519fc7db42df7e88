"""The model card of a fine-tuned CLIP: what it was made from and how, what alpha trades, where its limits are."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

_TEMPLATE = "data/card.md.j2"


def model_card(training: dict[str, Any], evaluation: dict[str, Any] | None = None) -> str:
    """The card as Markdown.

    Args:
        training: configuration and result of ``jobs/train.py``, as its record has them.
        evaluation: the record of ``jobs/evaluate.py`` with the alpha curve, if there is one.
    """
    config, result = training["config"], training["result"]
    first, last = result["curve"][0], result["curve"][-1]
    template = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(
        files("cfray.clip").joinpath(_TEMPLATE).read_text()
    )
    return template.render(
        config=config, result=result, first=first, last=last,
        watched=[name for name in last if name.endswith("loss") or name.startswith("probe/")],
        valid=[name for name, still in result["valid_indexes"].items() if still],
        **_curve(evaluation),
    )  # fmt: skip


def _curve(evaluation: dict[str, Any] | None) -> dict[str, Any]:
    """The columns and rows of the table over alpha; no row without an evaluation."""
    if evaluation is None:
        return {"alphas": [], "recommended": None, "accuracies": [], "skews": []}
    outcome = evaluation["result"]
    accuracies = list(outcome["alphas"][0]["accuracy"])
    groups = [(gallery, attribute) for gallery, found in outcome["alphas"][0]["fairness"].items() for attribute in found]
    alphas = [
        {
            "alpha": point["alpha"],
            "values": [point["accuracy"][name] for name in accuracies]
            + [_max_skew(point["fairness"][g][a]) for g, a in groups],
        }
        for point in outcome["alphas"]
    ]
    skews = [f"{gallery}, {attribute}" for gallery, attribute in groups]
    return {"alphas": alphas, "recommended": outcome["recommended_alpha"], "accuracies": accuracies, "skews": skews}


def _max_skew(measured: dict[str, Any]) -> float:
    return next(value["uniform"]["value"] for key, value in measured.items() if key.startswith("maxskew@"))
