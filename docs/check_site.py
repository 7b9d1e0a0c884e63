"""Opens pages of the site in a Chromium of the system: no errors, no network, nothing too wide.

python docs/check_site.py build/site     # says that it was left out where there is no Chromium
"""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PAGES = (
    "index",
    "tour",
    "configuration",
    "gallery/index",
    "gallery/01_energies_and_forces",
    "gallery/07_your_data",
)
VIEWS = ((1280, "light"), (420, "dark"))  # width in pixels, and the reader's colors


def complaints(browser: Any, page: Path, width: int, colors: str) -> list[str]:
    """What is wrong with a page at one width."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=colors, offline=True
    )
    found: list[str] = []
    tab = context.new_page()
    tab.on("console", lambda x: found.append(x.text) if x.type in ("error", "warning") else None)
    tab.on("pageerror", lambda x: found.append(str(x)))
    tab.on("request", lambda x: found.append(x.url) if x.url.startswith("http") else None)
    tab.goto(page.as_uri())
    tab.wait_for_load_state("load")
    wide = tab.evaluate("document.documentElement.scrollWidth")
    found += [f"{wide} pixels wide"] if wide > width else []
    lightness = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = max(map(int, lightness[4:-1].split(","))) < 60
    found += [f"its background is {lightness}"] if dark != (colors == "dark") else []
    context.close()
    return [f"{page.name}, {width} pixels, {colors}: {text}" for text in found]


def main(site: Path) -> int:
    """The number of complaints, each on a line."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None or find_spec("playwright") is None:
        print("left out: needs a Chromium in the path and playwright")
        return 0
    from playwright.sync_api import sync_playwright

    sandbox = [] if os.getuid() else ["--no-sandbox"]  # which Chromium has not as root
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=sandbox)
        pages = [site.resolve() / f"{name}.html" for name in PAGES]
        found = [x for page in pages for view in VIEWS for x in complaints(browser, page, *view)]
        browser.close()
    print(
        "\n".join(found) if found else f"{len(pages)} pages in {Path(program).name}: no complaint"
    )
    return len(found)


if __name__ == "__main__":
    sys.exit(min(main(Path(sys.argv[1])), 1))
