"""What is written in several places about the packages that are needed says the same in each."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "packaging"))

from address import FOLDERS, with_address  # noqa: E402

TOOLS = {
    "dev",
    "docs",
    "dist",
    "bench",
    "fuzz",
    "reference",
}  # extras for those who work on the code
OWN = re.compile(r"multilode(-papers)?\b")
REQUIREMENT = re.compile(r"([\w.-]+?)(?:\[\w+\])?(>=.+)")


def settings(folder: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))


def project(folder: str = ".") -> dict[str, Any]:
    return settings(folder)["project"]


def bounds(requirements: list[str]) -> dict[str, str]:
    """The condition of each package that is not ours."""
    found = {}
    for text in requirements:
        if not OWN.match(text):
            name, condition = REQUIREMENT.fullmatch(text).groups()  # type: ignore[union-attr]
            assert found.setdefault(name, condition) == condition, text
    return found


def lowest(condition: str) -> str:
    return condition.removeprefix(">=").partition(",")[0]


def test_lowest_versions_are_those_of_the_projects():
    needed = []
    for folder in (".", "papers"):
        about = project(folder)
        extras = about["optional-dependencies"]
        needed += about["dependencies"]
        needed += [x for name, some in extras.items() if name not in TOOLS for x in some]
    rows = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    listed = [row for row in rows if not row.startswith("#")]
    expected = {name: lowest(condition) for name, condition in bounds(needed).items()}
    assert listed == [f"{name}=={version}" for name, version in sorted(expected.items())]


RECIPES = {".": "multilode", "papers": "multilode-papers"}
CONDA = {
    "torch": "pytorch",
    "matplotlib": "matplotlib-base",
    "vesin": "python-vesin",
}  # their names there


@pytest.mark.parametrize("folder", RECIPES)
def test_the_recipe_of_conda_asks_for_the_same(folder):
    recipe = yaml.safe_load((ROOT / "packaging" / "conda" / "recipe.yaml").read_text())
    about, context = project(folder), recipe["context"]
    (output,) = [x for x in recipe["outputs"] if x["package"]["name"] == RECIPES[folder]]
    python = f"python {about['requires-python']}".replace(">=3.10", ">=${{ python_min }}")
    expected = [f"{CONDA.get(n, n)} {c}" for n, c in bounds(about["dependencies"]).items()]
    expected += ["${{ pin_subpackage('multilode', exact=True) }}"] if folder == "papers" else []
    assert sorted(output["requirements"]["run"]) == sorted([python, *expected])
    assert context["version"] == about["version"]
    assert context["python_min"] == about["requires-python"].removeprefix(">=")
    host = bounds(settings(folder)["build-system"]["requires"])
    built = [f"{name} {condition}" for name, condition in host.items()]
    expected = ["python ${{ python_min }}.*", "pip", *built]
    assert sorted(output["requirements"]["host"]) == sorted(expected)
    assert output["about"]["license"] == about["license"]


def test_versions_are_one():
    ours, papers = project(), project("papers")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert ours["version"] == papers["version"] == cited["version"]
    assert f"multilode=={ours['version']}" in papers["dependencies"]
    assert ours["license"].split()[0] == papers["license"] == cited["license"]


@pytest.mark.parametrize("folder", [".", "papers"])
def test_with_a_public_address_links_of_an_index_page_lead_to_files(folder):
    """`packaging/address.py`, which is for the day that there is one; a later one replaces it."""
    text = (ROOT / folder / "pyproject.toml").read_text(encoding="utf-8")
    start, address = FOLDERS[folder], "https://forge.example/multilode"
    once = with_address(text, "https://old.example", "https://old.example", "x", start)
    found = with_address(once, address, f"{address}/blob", f"{address}/raw", start)
    assert found == with_address(text, address, f"{address}/blob", f"{address}/raw", start)
    written = tomllib.loads(found)
    assert written["project"]["urls"]["Homepage"] == address
    written["project"].pop("urls")
    assert written["project"] == project(folder)
    readme = (ROOT / folder / "README.md").read_text(encoding="utf-8")
    hooks = written["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    for one in hooks["substitutions"]:  # as the plugin does
        readme = re.sub(one["pattern"], one["replacement"], readme)
    links = re.findall(r"\]\(([^)]*)\)", readme)
    assert all(re.match(r"\w+:|#", link) for link in links)
    own = [link for link in links if link.startswith(address)]
    assert own
    for link in own:
        path = link.removeprefix(f"{address}/blob/").removeprefix(f"{address}/raw/")
        assert (ROOT / path.partition("#")[0]).exists(), link


def test_a_file_without_a_place_for_an_address_is_refused():
    with pytest.raises(ValueError, match="no place for an address"):
        with_address("[project]\n", "x", "x", "x", "")
