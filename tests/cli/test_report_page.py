"""Reports in a browser: no complaint, no network, and plots that answer."""

import csv
import os
import shutil
from pathlib import Path

import pytest

from multilode.cli.main import run

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install it")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="needs a Chromium in the path"),
    pytest.mark.filterwarnings("ignore"),  # of the driver
]
TIP, LEGEND = ".tip:not([hidden])", ".tools button[aria-pressed]"


@pytest.fixture(scope="module")
def browser():
    sandbox = [] if os.getuid() else ["--no-sandbox"]  # which Chromium has not as root
    with sync_api.sync_playwright() as play:
        yield play.chromium.launch(executable_path=BROWSER, args=sandbox)


@pytest.fixture
def opened(browser):
    """Opens a page without a network; complaints and requests fail the test."""
    complaints, contexts = [], []

    def opened(path: Path, width: int = 1200, scheme: str = "light"):
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda r: None if r.url.startswith("file:") else complaints.append(r.url),
        )
        page.goto(path.resolve().as_uri())
        page.wait_for_selector("figure.plot canvas")
        return page

    yield opened
    assert complaints == []
    for context in contexts:
        context.close()


def hover(page, figure) -> bool:
    """Move along the diagonal of a plot of predictions, where its points are."""
    figure.scroll_into_view_if_needed()
    box = figure.locator(".u-over").bounding_box()
    for share in [k / 40 for k in range(2, 39)]:
        page.mouse.move(box["x"] + share * box["width"], box["y"] + (1 - share) * box["height"])
        if figure.locator(TIP).count():
            return True
    return False


def ticks(figure) -> str:
    """The range of both axes, as the plot would show it."""
    return figure.locator("canvas").evaluate("c => c.toDataURL()")


def test_plots_answer(folder, opened, tmp_path):
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    page = opened(folder / "out" / "report.html")
    figure = page.locator("figure.plot").first
    assert hover(page, figure)
    said = figure.locator(TIP).inner_text()
    assert "frame" in said
    assert "reference gap (eV): " in said

    whole = ticks(figure)
    figure.locator(LEGEND).nth(0).click()
    assert figure.locator(LEGEND).nth(0).get_attribute("aria-pressed") == "false"
    assert ticks(figure) != whole
    figure.locator(LEGEND).nth(0).click()
    box = figure.locator(".u-over").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 200, steps=4)
    page.mouse.up()
    page.wait_for_timeout(50)
    zoomed = ticks(figure)
    assert zoomed != whole
    page.mouse.dblclick(box["x"] + 30, box["y"] + 30)
    page.mouse.move(2, 2)
    page.wait_for_timeout(50)
    assert ticks(figure) == whole

    with page.expect_download() as download:
        figure.get_by_role("button", name="CSV").click()
    download.value.save_as(tmp_path / "points.csv")
    with (tmp_path / "points.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 34
    assert rows[0]["series"] == "train (24)"
    error = float(rows[0]["predicted gap (eV)"]) - float(rows[0]["reference gap (eV)"])
    assert abs(error - float(rows[0]["error (eV)"])) < 1e-7


def test_phones_dark_screens_and_other_pages(folder, opened):
    assert run(["learning-curve", "config.yaml", "-o", "curve"]) == 0
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    searched = ["--set", "tune.settings={cutoff: {low: 2.0, high: 3.0}}", "--set", "tune.trials=3"]
    assert run(["tune", "config.yaml", "-o", "tuned", *searched]) == 0
    model = "out/model.safetensors"
    assert run(["evaluate", model, "test.xyz", "--report", "page.html", "--group", "label"]) == 0
    pages = [folder / name / "report.html" for name in ("curve", "tuned")]
    for path in (*pages, folder / "page.html"):
        page = opened(path, width=420, scheme="dark")
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert max(map(int, color[4:-1].split(","))) < 60
        assert page.locator("figure.plot canvas").count() >= 1
