"""The HTML report in a real browser, from a file: plots, sorting, filtering, theme, keyboard, and hostile names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from cnnc.analysis.report import to_html
from tests.report.browser import chromium
from tests.report.measured import with_everything
from tests.report.models import HOSTILE, NAMES, small_net

DRAWN = "return document.getElementById(arguments[0]).querySelector('.main-svg')?.getBoundingClientRect().toJSON()"
INK = "return getComputedStyle(document.querySelector('.ytick text')).fill"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium() as chrome:
        yield chrome


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("report"), to_html(with_everything(small_net())))


@pytest.fixture
def opened(browser: Chrome, page: Path) -> Iterator[Chrome]:
    """The page, fresh; no test may leave a word on the console."""
    open_page(browser, page)
    yield browser
    assert browser.get_log("browser") == []


def write(folder: Path, source: str) -> Path:
    path = folder / "report.html"
    path.write_text(source, encoding="utf-8")
    return path


def open_page(browser: Chrome, path: Path) -> None:
    browser.get(path.as_uri())
    browser.execute_script("localStorage.clear()")
    browser.get_log("browser")
    browser.refresh()


def wait(browser: Chrome, condition: Any) -> Any:
    return WebDriverWait(browser, 20, poll_frequency=0.05).until(condition)


def column(browser: Chrome, index: int) -> list[str]:
    """The visible cells of one column of the layer table."""
    script = """return [...document.querySelectorAll('#layer-table tbody tr:not([hidden])')]
        .map((row) => row.cells[arguments[0]].textContent)"""
    return list(browser.execute_script(script, index))


def head(browser: Chrome, title: str) -> Any:
    return browser.find_element(By.XPATH, f"//table[@id='layer-table']//th[button='{title}']")


def press(browser: Chrome, title: str) -> None:
    """Click a heading of the layer table, below the page's own head."""
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", head(browser, title))
    head(browser, title).find_element(By.TAG_NAME, "button").click()


def position(browser: Chrome, title: str) -> int:
    return int(browser.execute_script("return arguments[0].cellIndex", head(browser, title)))


def draw_all(browser: Chrome) -> dict[str, Any]:
    """Scroll to every plot; the box of its drawing by id."""
    boxes = {}
    for canvas in browser.find_elements(By.CSS_SELECTOR, ".canvas"):
        id = canvas.get_attribute("id")
        browser.execute_script("arguments[0].scrollIntoView({behavior: 'instant'})", canvas)
        boxes[id] = wait(browser, lambda chrome, id=id: chrome.execute_script(DRAWN, id))
    return boxes


def test_every_plot_shows(opened: Chrome) -> None:
    boxes = draw_all(opened)
    assert len(boxes) == 10
    assert all(box["width"] > 300 and box["height"] > 150 for box in boxes.values()), boxes
    points = opened.execute_script("return document.querySelectorAll('#plot-by-layer .bars .point path').length")
    assert points >= 6


def test_nothing_is_wider_than_the_page(opened: Chrome) -> None:
    draw_all(opened)
    for width in (1280, 390):
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        assert opened.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_headers_sort(opened: Chrome) -> None:
    params = position(opened, "Params")
    assert column(opened, params) == ["216", "16", "", "", "", "40"]
    press(opened, "Params")
    assert column(opened, params)[:3] == ["216", "40", "16"]
    assert head(opened, "Params").get_attribute("aria-sort") == "descending"
    assert head(opened, "#").get_attribute("aria-sort") == "none"
    press(opened, "Params")
    assert column(opened, params)[-3:] == ["16", "40", "216"]
    press(opened, "Layer")
    assert column(opened, 1) == sorted(NAMES)
    press(opened, "#")
    assert column(opened, 1) == list(NAMES)


def test_missing_values_come_last_either_way(opened: Chrome) -> None:
    for _ in range(2):
        press(opened, "As FC")
        assert column(opened, position(opened, "As FC")) == ["1.57 M", "", "", "", "", ""]


def test_sorting_by_keyboard(opened: Chrome) -> None:
    opened.find_element(By.ID, "exact").send_keys(Keys.TAB)  # the table's own scroll area
    opened.switch_to.active_element.send_keys(Keys.TAB)
    assert opened.switch_to.active_element.text.startswith("#")
    opened.switch_to.active_element.send_keys(Keys.TAB)
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert opened.execute_script(outline) == "solid"
    opened.switch_to.active_element.send_keys(Keys.ENTER)
    assert column(opened, 1) == sorted(NAMES)
    opened.switch_to.active_element.send_keys(Keys.SPACE)
    assert column(opened, 1) == sorted(NAMES, reverse=True)


def test_skip_link_comes_first(opened: Chrome) -> None:
    opened.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    link = opened.switch_to.active_element
    assert link.get_attribute("href").endswith("#main") and link.rect["x"] >= 0
    link.send_keys(Keys.ENTER)
    assert opened.switch_to.active_element.get_attribute("id") == "main"


def test_filters(opened: Chrome) -> None:
    box = opened.find_element(By.ID, "filter")
    box.send_keys("GEMM")
    assert column(opened, 1) == ["fc"]
    assert opened.find_element(By.ID, "count").text == "1 of 6 layers"
    box.clear()
    box.send_keys("nothing like it")
    assert column(opened, 1) == []
    box.clear()
    Select(opened.find_element(By.ID, "kind")).select_by_visible_text("normalization")
    assert column(opened, 1) == ["norm"]
    Select(opened.find_element(By.ID, "kind")).select_by_visible_text("all")
    assert opened.find_element(By.ID, "count").text == "6 layers"


def test_exact_numbers(opened: Chrome) -> None:
    dense = position(opened, "As FC")
    opened.find_element(By.ID, "exact").click()
    assert column(opened, dense)[0] == "1,572,864"
    opened.find_element(By.ID, "exact").click()
    assert column(opened, dense)[0] == "1.57 M"


@pytest.mark.parametrize("system", ["light", "dark"])
def test_theme_follows_the_system_and_the_button(opened: Chrome, system: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": system}]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    draw_all(opened)
    before = ground(opened), opened.execute_script(INK)
    assert (
        before
        == {
            "light": ("rgb(255, 255, 255)", "rgb(28, 33, 39)"),
            "dark": ("rgb(20, 23, 26)", "rgb(228, 231, 234)"),
        }[system]
    )
    button = opened.find_element(By.ID, "theme")
    assert button.text == {"light": "Dark theme", "dark": "Light theme"}[system]
    button.click()
    after = ground(opened), opened.execute_script(INK)
    assert after[0] != before[0] and after[1] != before[1]
    opened.refresh()
    assert ground(opened) == after[0]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def ground(browser: Chrome) -> str:
    return str(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))


def test_names_of_a_hostile_model_run_nothing(browser: Chrome, tmp_path: Path) -> None:
    open_page(browser, write(tmp_path, to_html(with_everything(small_net(HOSTILE, name=HOSTILE[0])))))
    draw_all(browser)
    assert column(browser, 1)[:4] == list(HOSTILE[:4])
    assert browser.title.startswith(HOSTILE[0])
    assert not browser.execute_script("return document.querySelector('img[onerror], svg[onload], .canvas a, main b')")
    ticks = browser.execute_script(
        "return [...document.querySelectorAll('#plot-field .xtick')].map((t) => t.textContent)"
    )
    assert "<svg" in "".join(ticks)  # as text
    press(browser, "Layer")
    assert browser.get_log("browser") == []  # an alert would have ended the test, a blocked script be logged


def test_no_request_leaves_the_file(browser: Chrome, page: Path) -> None:
    open_page(browser, page)
    draw_all(browser)
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [name for name in loaded if not name.startswith(("data:", "blob:"))] == []


def test_an_added_script_is_blocked(browser: Chrome, page: Path, tmp_path: Path) -> None:
    source = page.read_text(encoding="utf-8").replace("</main>", "<script>window.added = 1</script></main>")
    open_page(browser, write(tmp_path, source))
    assert browser.execute_script("return window.added") is None
    assert "Content Security Policy" in str(browser.get_log("browser"))
