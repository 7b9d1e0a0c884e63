"""Formulas, the functions that compute them, and the papers that they come from."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("equations", ROOT / "docs" / "equations.py")
equations = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(equations)


def test_every_source_names_a_formula_or_a_paper():
    found = equations.uses()
    assert len(found) > 40
    assert equations.problems(found) == []


def test_the_page_of_equations_is_up_to_date():
    assert equations.PAGE.read_text() == equations.page(equations.uses()), "run `make docs`"


@pytest.mark.parametrize("name", ["theory.md", "method.md", "architecture.md"])
def test_papers_that_the_documents_cite_are_in_the_bibliography(name):
    cited = set(re.findall(r"`([A-Z][a-z]+(?:19|20)\d\d)`", (ROOT / "docs" / name).read_text()))
    assert cited <= set(equations.references())


def test_every_reference_is_cited():
    theory = (ROOT / "docs" / "theory.md").read_text()
    used = {use.source for use in equations.uses()} | set(re.findall(r"\b[A-Z][a-z]+\d{4}", theory))
    assert set(equations.references()) <= used


def test_links_between_the_documents_lead_somewhere():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_anchors_of_the_theory_are_its_own():
    text = (ROOT / "docs" / "theory.md").read_text()
    anchors = re.findall(r'<a id="([\w-]+)">', text)
    assert len(anchors) == len(set(anchors))
    for page in (ROOT / "docs").glob("*.md"):
        linked = re.findall(r"\]\(theory\.md#([\w-]+)\)", page.read_text())
        linked += re.findall(r"\]\(#([\w-]+)\)", text) if page.name == "theory.md" else []
        assert set(linked) <= set(anchors), page.name
