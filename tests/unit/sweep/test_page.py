import json
import re

from cfray.sweep.findings import conclude, overhead
from cfray.sweep.page import RELOAD_SECONDS, render_page
from cfray.sweep.store import Store
from tests.unit.sweep.example import fill_store


def figures_of(html: str) -> dict:
    return json.loads(re.search(r'id="figures">(.*?)</script>', html, re.DOTALL)[1])


def test_the_page_draws_every_point_once_and_says_how_to_export_it(sweep_config, tmp_path):
    config, store = sweep_config(), Store(str(tmp_path / "store"))
    fill_store(store)
    rows = store.rows()
    result = conclude(config, rows) | {"overhead": overhead(rows.iloc[:0], rows, 300.0, 2)}
    html = render_page(config, rows, result, running=False)
    figures = figures_of(html)
    assert set(figures) == {"front", "attributes", "parallel", "importance"}
    marks = next(trace for trace in figures["front"]["data"] if trace.get("name") == "trial at α")
    details = json.loads(re.search(r'id="details">(.*?)</script>', html, re.DOTALL)[1])
    assert marks["customdata"] == list(range(len(details))) and len(details) == result["points"] == 7
    assert all(point["command"].startswith("python jobs/sweep.py export ") for point in details)
    assert f"Chosen: trial {result['chosen']['trial']}" in html and "http-equiv" not in html
    assert "Overhead, wall time" in html and "OutOfMemoryError" in html


def test_a_page_of_a_running_sweep_reloads_itself_and_needs_no_row(sweep_config, tmp_path):
    config, store = sweep_config(), Store(str(tmp_path / "store"))
    html = render_page(config, store.rows(), conclude(config, store.rows()), running=True)
    assert f'http-equiv="refresh" content="{RELOAD_SECONDS}"' in html and "Nothing is measured yet" in html
    fill_store(store, trials=1, half=True)
    rows = store.rows()
    assert "1 of 6 trials" in render_page(config, rows, conclude(config, rows), running=True)


def test_what_a_configuration_says_is_escaped(sweep_config, tmp_path):
    config, store = sweep_config(output="<script>alert(1)</script>"), Store(str(tmp_path / "store"))
    fill_store(store)
    html = render_page(config, store.rows(), conclude(config, store.rows()), running=False)
    assert "<script>alert" not in html
