"""The site of the documents: every page is found, links and anchors lead somewhere."""

import importlib
import importlib.util
import re
from pathlib import Path

import pytest
import yaml

import multilode
from multilode import testing
from multilode.config.config import config_from_dict

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```", re.DOTALL | re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(!?)\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(([^)\s]+)\)")
CARD = re.compile(r"^:link: (\S+)$", re.MULTILINE)
MADE = {"gallery/index"}  # by the build


def entries(page: Path) -> list[str]:
    """What its toctree names."""
    lines = [line for block in TOCTREE.findall(page.read_text()) for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(":")]


def anchors(page: Path) -> list[str]:
    """Names in a page: those in HTML, and those of its headings as forges make them."""
    text = page.read_text()
    found = re.findall(r'<a id="([\w-]+)">', text)
    for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.append(words)
    return found


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_is_in_one_toctree():
    named = [entry for page in PAGES for entry in entries(page)]
    assert sorted(named) == sorted(set(named))
    own = {page.stem for page in PAGES}
    assert own - set(named) == {"index"}
    assert set(named) - own == MADE


def test_cards_of_the_first_page_lead_to_pages():
    cards = CARD.findall((DOCS / "index.md").read_text())
    assert len(cards) == 6
    assert set(cards) <= {page.stem for page in PAGES} | MADE


@pytest.mark.parametrize("page", [*PAGES, *TOP], ids=lambda page: page.name)
def test_links_and_anchors_resolve(page):
    wrong = []
    for _, target in LINK.findall(FENCE.sub("", page.read_text())):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            wrong.append(target)
    assert wrong == []


def test_anchors_are_there_once():
    for page in PAGES:
        found = re.findall(r'<a id="([\w-]+)">', page.read_text())
        assert len(found) == len(set(found)), page.name


def test_public_names_are_in_the_reference():
    text = (DOCS / "api.md").read_text()
    listed = re.findall(r"^   (multilode(?:\.\w+)+)$", text, re.MULTILINE)
    public = {f"multilode.{name}" for name in multilode._PUBLIC}
    checks = {f"multilode.testing.{name}" for name in testing.__all__ if not name.isupper()}
    assert len(listed) == len(set(listed))
    assert public | checks <= set(listed)
    extensions = set(listed) - public - checks
    assert extensions
    for name in extensions:
        module, _, last = name.rpartition(".")
        assert hasattr(importlib.import_module(module), last), name


def test_the_page_of_commands_is_up_to_date():
    commands = script("commands")
    assert commands.PAGE.read_text(encoding="utf-8") == commands.page(), "run `make docs`"


def test_configurations_of_the_tour_are_accepted():
    first, added = re.findall(r"```yaml\n(.*?)```", (DOCS / "tour.md").read_text(), re.DOTALL)
    for text in (first, first + added):
        config_from_dict(yaml.safe_load(text))
