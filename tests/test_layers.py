"""The shape of the code: imports go up the list of layers only, and files stay small."""

import ast
from pathlib import Path

import pytest

import multilode

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "multilode"
FILES = sorted(SOURCE.rglob("*.py"))
PAPERS = sorted((ROOT / "papers" / "src").rglob("*.py"))

# The table of contents: a folder may import those that stand before it.
LAYERS = [
    "errors",
    "progress",
    "files",
    "checkpoints",
    "numerics",
    "scheduling",
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
MOST_LINES = {"file": 400, "function": 40}


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
    [*FILES, *PAPERS, *sorted((ROOT / "tests").rglob("*.py"))],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_files_stay_small(path):
    assert len(path.read_text().splitlines()) <= MOST_LINES["file"]


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Its lines; what a docstring says of many arguments does not make it harder to read."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is None:
        return lines
    return lines - (function.body[0].end_lineno - function.body[0].lineno + 1)


def long_functions(path: Path) -> set[str]:
    """Functions of a file with more lines than allowed, as `package/room/file.py:name`."""
    place = path.parts[path.parts.index("src") + 1 :]
    return {
        f"{'/'.join(place)}:{node.name}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and lines_of(node) > MOST_LINES["function"]
    }


def test_functions_stay_small():
    found = set().union(*map(long_functions, [*FILES, *PAPERS]))
    assert not found, "functions have at most 40 lines beside their docstring: split them"


def test_folders_of_unit_tests_are_those_of_the_rooms():
    rooms = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    folders = {path.parent.name for path in (ROOT / "tests" / "unit").glob("*/test_*.py")}
    assert folders <= rooms, "a folder of unit tests has the name of a room"
    assert rooms - folders <= {"cli"}, "each room has unit tests; those of cli are in tests/cli"


def test_rooms_say_what_they_are_for():
    """The equation, the names to know, what may be added: in five lines or so."""
    for path in sorted(SOURCE.glob("*/__init__.py")):
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert 3 <= len(text.splitlines()) <= 12, f"{path.parent.name}: say what the room is for"


def test_no_public_name_is_that_of_a_module():
    """An imported module becomes an attribute of the package, in place of the public name."""
    assert not {layer_of(path) for path in FILES} & set(multilode.__all__)
