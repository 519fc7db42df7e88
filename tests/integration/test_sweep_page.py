"""Opens the page of a sweep in headless Chromium: points are drawn, and a selected one shows its command."""

import pytest
from selenium.webdriver.common.action_chains import ActionChains

from cfray.config import build_config
from cfray.sweep.config import SweepConfig
from cfray.sweep.findings import conclude
from cfray.sweep.page import write_page
from cfray.sweep.store import Store
from tests.browser import browser, console, needs_browser, open_page, wait_for
from tests.unit.sweep.example import fill_store

pytestmark = needs_browser

# Where the mark of a point is in the window, by its number.
PLACE = """
const [trace, number] = arguments, plot = document.getElementById("front");
const drawn = [...plot.querySelectorAll(".scatterlayer .trace")].find((group) => group.__data__[0].trace.name === trace);
const shown = drawn.querySelectorAll("path.point");
const box = shown[number].getBoundingClientRect();
return [box.left + box.width / 2, box.top + box.height / 2, shown.length];
"""


@pytest.fixture
def page(tmp_path):
    config = build_config(
        SweepConfig,
        {
            "output": str(tmp_path / "sweep"),
            "train": {"data": "sets", "model": "world:clip", "workers": 0},
            "evaluate": {"benchmarks": [{"kind": "world", "k": 10}], "alphas": [0.0, 1.0]},
            "space": {"learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}, "loss.beta_cf": {"choice": [1.0, 4.0, 16.0]}},
            "search": {"kind": "random"},
            "trials": 6,
        },
    )
    store = Store(config.output)
    fill_store(store)
    rows = store.rows()
    write_page(config, rows, conclude(config, rows), running=False)
    return tmp_path / "sweep" / "sweep.html"


def test_points_are_drawn_and_a_selected_one_shows_its_command(page):
    with browser(1280, 1400) as driver:
        open_page(driver, page)
        wait_for(driver, lambda driver: driver.execute_script("return document.body.dataset.drawn"))
        errors = [line for line in console(driver) if "WebGL" not in line]  # drivers of graphics cards complain
        assert errors == []
        assert driver.execute_script("return document.querySelectorAll('.figure:has(.main-svg)').length") == 4
        x, y, count = driver.execute_script(PLACE, "trial at α", 2)
        assert count == 7
        driver.execute_script("window.scrollTo(0, 0)")
        ActionChains(driver).move_by_offset(x, y).click().perform()
        told = wait_for(
            driver, lambda driver: (t := driver.execute_script("return command.textContent")) != "Select a point." and t
        )
        number = driver.execute_script("return details.findIndex((point) => point.command === arguments[0])", told)
        assert number == 2 and told.startswith("python jobs/sweep.py export sweep=")
        assert "at α = 1" in driver.execute_script("return selection.textContent")
        # A box around everything gives every command.
        box = driver.execute_script("return document.querySelector('#front .nsewdrag').getBoundingClientRect().toJSON()")
        mouse = ActionChains(driver).move_by_offset(box["left"] + 2 - x, box["top"] + 2 - y).click_and_hold()
        mouse.move_by_offset(int(box["width"]) - 4, int(box["height"]) - 4).release().perform()
        wait_for(driver, lambda driver: driver.execute_script("return command.textContent.split('\\n').length") == 7)
