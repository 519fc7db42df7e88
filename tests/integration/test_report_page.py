"""Opens the report in headless Chromium: it draws, its dropdowns work, its images decode, and it asks for nothing else."""

from __future__ import annotations

import runpy
from base64 import b64decode
from pathlib import Path

import pytest
from PIL import Image

from cfray.report import render_report
from tests.browser import browser, console, needs_browser, open_page

pytestmark = needs_browser

EXAMPLE = runpy.run_path(str(Path(__file__).parents[1] / "unit" / "report" / "example.py"))
WIDTH, HEIGHT = 1280, 2400
CLIP = {"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT, "scale": 1}

# What a reader would see: the figures that show at first, and after each choice in a dropdown.
OBSERVE = """
const [curves, bars, table] = document.querySelectorAll("[data-chooser]");
const shown = (chooser) => [...chooser.querySelectorAll("[data-key]")].filter((e) => e.getClientRects().length)
  .map((e) => JSON.parse(e.dataset.key).join(" "));
const choose = (chooser, menu, value) => {
  const select = chooser.querySelectorAll("select")[menu];
  select.value = value;
  select.dispatchEvent(new Event("change"));
  return { shown: shown(chooser), menus: [...chooser.querySelectorAll("select")].map((s) => s.value) };
};
const images = [...document.images];
const start = [curves, bars, table].map(shown), all = document.createElement("style");
all.textContent = "[data-key][hidden] { display: revert !important; }";
document.head.append(all);
const outside = [...document.querySelectorAll("svg")].flatMap((svg) => {
  const frame = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter((t) => {
    const box = t.getBoundingClientRect();
    return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1);
  }).map((t) => t.textContent);
});
const charts = [...document.querySelectorAll("svg")].filter((svg) => svg.getClientRects().length).length;
all.remove();
return {
  start,
  charts,
  images: images.map((image) => [image.naturalWidth, image.clientWidth]),
  pixelated: getComputedStyle(images[0]).imageRendering,
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  outside,
  requests: performance.getEntriesByType("resource").map((entry) => entry.name.slice(0, 60)),
  attribute: choose(curves, 1, "skin_tone"),
  metric: choose(curves, 2, "ndkl@100"),
  otherK: choose(curves, 0, "people_in_scenes"),
  target: choose(bars, 0, "pool"),
  benchmark: choose(table, 0, "portraits_held_out"),
};"""


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """The example report; people in scenes are measured at another k, so that dropdowns have a gap to step over."""
    result = EXAMPLE["example_result"]()
    for row in result["alphas"]:
        scenes = row["fairness"]["people_in_scenes"]
        for attribute, metrics in scenes.items():
            scenes[attribute] = {key.replace("@100", "@50"): value for key, value in metrics.items()}
    page = tmp_path_factory.mktemp("report") / "report.html"
    page.write_text(render_report(result, EXAMPLE["example_gallery"](), title="Example report"), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def seen(report) -> dict:
    with browser(WIDTH, HEIGHT) as driver:
        open_page(driver, report)
        return driver.execute_script(OBSERVE) | {"console": console(driver)}


def test_the_page_runs_without_a_message_or_a_request(seen):
    assert seen["console"] == []
    assert [name for name in seen["requests"] if not name.startswith("data:")] == []


def test_one_figure_shows_per_chooser_at_first(seen):
    curve = "portraits gender maxskew@100 uniform"
    assert seen["start"] == [[curve, curve], ["uniform"], ["portraits uniform"]]


def test_dropdowns_show_what_was_chosen(seen):
    assert seen["attribute"]["shown"] == ["portraits skin_tone maxskew@100 uniform"] * 2
    assert seen["metric"]["shown"] == ["portraits skin_tone ndkl@100 uniform"] * 2
    assert seen["target"]["shown"] == ["pool"]
    assert seen["benchmark"]["shown"] == ["portraits_held_out uniform"]


def test_a_benchmark_without_the_chosen_k_keeps_the_metric_and_moves_the_k(seen):
    assert seen["otherK"]["shown"] == ["people_in_scenes skin_tone ndkl@50 uniform"] * 2
    assert seen["otherK"]["menus"] == ["people_in_scenes", "skin_tone", "ndkl@50", "uniform"]


def test_images_decode_and_are_enlarged_with_square_pixels(seen):
    assert seen["images"] == [[64, 128]] * 17
    assert seen["pixelated"] == "pixelated"


def test_the_page_fits_its_width_and_no_label_is_cut(seen):
    assert seen["overflow"] == 0
    assert seen["charts"] == 2 * 48 + 2 * 2 + 2
    assert seen["outside"] == []


def test_the_page_is_painted(report, tmp_path):
    picture = tmp_path / "page.png"
    with browser(WIDTH, HEIGHT) as driver:
        open_page(driver, report)
        shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"clip": CLIP})
    picture.write_bytes(b64decode(shot["data"]))
    with Image.open(picture) as shot:
        assert shot.size == (WIDTH, HEIGHT)
        colours = {colour for _, colour in shot.convert("RGB").getcolors(WIDTH * HEIGHT)}
    for name, rgb in {"curve": (0, 114, 178), "recommended mark": (184, 58, 0), "bar before": (152, 162, 174)}.items():
        assert rgb in colours, f"nothing in the colour of the {name}"
