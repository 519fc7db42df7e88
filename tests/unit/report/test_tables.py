from __future__ import annotations

from cfray.report.summary import rows_by_alpha
from cfray.report.tables import alpha_table


def test_every_alpha_metric_and_accuracy_is_in_the_table(result):
    table = alpha_table(rows_by_alpha(result), "portraits", "uniform", 0.7)
    assert [row.alpha for row in table.rows] == ["0", *(f"0.{i}" for i in range(1, 10)), "1"]
    assert [row.alpha for row in table.rows if row.recommended] == ["0.7"]
    assert table.headings[:3] == ["MaxSkew@100", "MinSkew@100", "NDKL@100"]
    assert table.groups == [("gender (nats)", 3), ("skin tone (nats)", 3), ("accuracy (%)", 5)]
    assert {len(row.cells) for row in table.rows} == {len(table.headings), 11} == {len(table.floors)}


def test_cells_are_the_numbers_of_the_result_with_their_sign(result):
    rows = rows_by_alpha(result)
    rows[4]["fairness"]["people_in_scenes"]["gender"]["minskew@100"]["pool"] = {
        "value": -0.4321, "low": -0.5, "high": -0.35, "floor": -0.08,
    }  # fmt: skip
    cell = alpha_table(rows, "people_in_scenes", "pool", 0.7).rows[4].cells[1]
    assert cell == ("\u22120.432", "\u22120.500 to \u22120.350")


def test_several_k_give_several_columns(result):
    for row in result["alphas"]:
        metrics = row["fairness"]["portraits"]["gender"]
        metrics["maxskew@500"] = metrics["maxskew@100"]
    table = alpha_table(rows_by_alpha(result), "portraits", "uniform", 0.7)
    assert table.headings[:4] == ["MaxSkew@100", "MinSkew@100", "NDKL@100", "MaxSkew@500"]
