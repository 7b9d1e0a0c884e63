"""Formulas, the functions that compute them, and the papers that they come from."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Rooms whose docstrings name their sources in the form of old. Nothing may be added.
WAITING: set[str] = set()
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
SPEC = importlib.util.spec_from_file_location("equations", ROOT / "docs" / "equations.py")
equations = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(equations)


def test_every_source_names_a_formula_or_a_paper():
    found = equations.uses()
    assert len(found) > 40
    wrong = equations.problems(found)
    assert [line for line in wrong if line.split("/")[2] not in WAITING] == []
    assert {line.split("/")[2] for line in wrong} == WAITING, "take the rooms that are done away"


def test_every_formula_of_the_theory_is_computed_somewhere():
    named = {use.source for use in equations.uses()}
    missing = {anchor for anchor in equations.formulas() if f"theory#{anchor}" not in named}
    assert WAITING or not missing, "name the formula in the docstring of what computes it"


def test_the_page_of_equations_is_up_to_date():
    assert equations.PAGE.read_text() == equations.page(equations.uses()), "run `make docs`"


@pytest.mark.parametrize("name", ["theory.md", "method.md", "architecture.md"])
def test_papers_that_the_documents_cite_are_in_the_bibliography(name):
    cited = set(re.findall(r"`([A-Z][A-Za-z]+(?:19|20)\d\d)`", (ROOT / "docs" / name).read_text()))
    assert cited <= set(equations.references())


def test_every_reference_is_cited():
    theory = (ROOT / "docs" / "theory.md").read_text()
    used = {use.source for use in equations.uses()} | set(
        re.findall(r"\b[A-Z][A-Za-z]+\d{4}", theory)
    )
    assert set(equations.references()) <= used


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_the_documents_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


def test_anchors_of_the_theory_are_its_own():
    text = (ROOT / "docs" / "theory.md").read_text()
    anchors = re.findall(r'<a id="([\w-]+)">', text)
    assert len(anchors) == len(set(anchors))
    for page in (ROOT / "docs").glob("*.md"):
        linked = re.findall(r"\]\(theory\.md#([\w-]+)\)", page.read_text())
        linked += re.findall(r"\]\(#([\w-]+)\)", text) if page.name == "theory.md" else []
        assert set(linked) <= set(anchors), page.name


def resolved(name: str) -> bool:
    """Whether a dotted name is a module, something in one, or a group of entry points."""
    if name in {"multilode.commands", "multilode.datasets"}:
        return True
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:n]))
        except ImportError:
            continue
        return all((found := getattr(found, part, None)) is not None for part in parts[n:])
    return False


# metatensor is written for TorchScript, whose end PyTorch announces
@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_of_the_package_in_the_documents_exist(page):
    named = re.findall(r"`(multilode(?:\.\w+)+)", page.read_text())
    assert [name for name in named if not resolved(name)] == []
