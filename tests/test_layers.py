"""The shape of the code: imports go up the list of layers only, and files stay small."""

import ast
from pathlib import Path

import pytest

import multilode

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "multilode"
FILES = sorted(SOURCE.rglob("*.py"))

# The table of contents: a folder may import those that stand before it.
LAYERS = [
    "errors",
    "files",
    "numerics",
    "symmetry",
    "structures",
    "data",
    "fields",
    "radial",
    "equivariants",
    "expansion",
    "correlations",
    "representation",
    "models",
    "prediction",
    "config",
    "engines",
    "workflow",
    "report",
    "datasets",
    "testing",
    "cli",
]
ASE_ALLOWED = {"data", "engines", "cli"}


def layer_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> set[str]:
    """Full names of all modules that a file imports, inside of functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            names.add(node.module)
            if node.module == "multilode":
                names |= {f"multilode.{alias.name}" for alias in node.names}
    return names


def test_every_module_has_its_layer():
    missing = {layer_of(path) for path in FILES} - {"__init__", *LAYERS}
    assert not missing, f"give {sorted(missing)} a place in LAYERS"
    assert len(LAYERS) == len(set(LAYERS))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_up_only(path):
    own = layer_of(path)
    if own not in LAYERS:  # the package itself, which imports nothing
        assert own == "__init__"
        return
    parts = (name.split(".") for name in imported_modules(path))
    inner = {p[1] for p in parts if p[0] == "multilode" and len(p) > 1}
    below = inner & set(LAYERS[LAYERS.index(own) + 1 :])
    assert not below, f"{path.name} imports from {sorted(below)}, which stand below {own}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_style_that_the_linter_does_not_see(path):
    modules = imported_modules(path)
    assert "__future__" not in modules, "postponed annotations switch the shape checks off"
    assert "pickle" not in modules
    if any(name.split(".")[0] == "ase" for name in modules):
        assert layer_of(path) in ASE_ALLOWED, "ASE stays at the border"
    assert not any(name in path.stem for name in ("utils", "helpers", "manager", "base_"))


@pytest.mark.parametrize(
    "path",
    [*FILES, *sorted((ROOT / "tests").rglob("*.py"))],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_files_stay_small(path):
    assert len(path.read_text().splitlines()) <= 400


def test_no_public_name_is_that_of_a_module():
    """An imported module becomes an attribute of the package, in place of the public name."""
    assert not {layer_of(path) for path in FILES} & set(multilode.__all__)
