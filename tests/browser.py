"""A headless Chromium that tests drive: pages are opened, clicked and measured as a reader's browser would show them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER), reason="no chromium (or google-chrome) and chromedriver on PATH"
)
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars",
)  # fmt: skip
PATIENCE_SECONDS = 120  # machines that run tests are busy; a page that works is done long before


@contextmanager
def browser(width: int, height: int) -> Iterator[webdriver.Chrome]:
    """A Chromium with a window of this size in pixels; its console is read with ``console``."""
    options = Options()
    options.binary_location = CHROMIUM
    for flag in (*_FLAGS, f"--window-size={width},{height}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(CHROMEDRIVER))
    driver.set_page_load_timeout(PATIENCE_SECONDS)
    driver.set_script_timeout(PATIENCE_SECONDS)
    try:
        yield driver
    finally:
        driver.quit()


def open_page(driver: webdriver.Chrome, page: Path) -> None:
    """Open a local page and wait until all its images are decoded."""
    driver.get(page.as_uri())
    driver.execute_async_script(
        "const done = arguments[0]; Promise.allSettled([...document.images].map((i) => i.decode())).then(() => done());"
    )


def console(driver: webdriver.Chrome) -> list[str]:
    """What the page and the browser wrote to the console since the last call."""
    return [entry["message"] for entry in driver.get_log("browser")]


def wait_for(driver: webdriver.Chrome, condition: Callable[[webdriver.Chrome], Any]) -> Any:
    """The first true value of ``condition``; raises selenium's TimeoutException when patience ends."""
    return WebDriverWait(driver, PATIENCE_SECONDS).until(condition)
