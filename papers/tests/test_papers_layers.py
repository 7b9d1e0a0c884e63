"""The shape of the papers' code: their rooms, and what they may take from multilode."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

import multilode
import multilode_papers

SOURCE = Path(multilode_papers.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
# A room may import those that stand before it.
LAYERS = ["makers", "datasets", "expected", "systems", "cli"]
# Taken from deeper down, until the rooms say the same in public.
WAITING = {"multilode.config.codec": {"encode"}}
SINGLE = {"errors", "files", "progress", "testing"}  # modules of multilode that are no rooms


def layer_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Modules and the names that are taken from them; no names where the module itself is."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            found.append((node.module, tuple(alias.name for alias in node.names)))
    return found


def is_public(module: str, name: str) -> bool:
    """`multilode.NAME`, `multilode.ROOM.NAME` in the room's own list, or of a single module."""
    parts = module.split(".")
    if len(parts) == 1:
        return name in multilode.__all__ or name in {"datasets"}
    if parts[1] in SINGLE:
        return len(parts) == 2 and not name.startswith("_")
    return len(parts) == 2 and name in getattr(import_module(module), "__all__", ())


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_only_public_names_of_multilode_are_used(path):
    for module, names in imports(path):
        if module.split(".")[0] == "multilode":
            assert names or module == "multilode", f"{path.name} imports the module {module}"
            known = WAITING.get(module, set())
            private = [name for name in names if name not in known and not is_public(module, name)]
            assert not private, f"{path.name} takes {private} from {module}: make them public there"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_up_only(path):
    own = layer_of(path)
    if own == "__init__":
        assert not imports(path)
        return
    below = set(LAYERS[LAYERS.index(own) + 1 :])
    modules = [module.split(".") for module, _ in imports(path)]
    inner = {parts[1] for parts in modules if parts[0] == "multilode_papers" and len(parts) > 1}
    assert not inner & below, f"{path.name} imports from {sorted(inner & below)}, below {own}"


@pytest.mark.parametrize(
    "path", [*FILES, *sorted(Path(__file__).parent.glob("*.py"))], ids=lambda p: p.name
)
def test_files_stay_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_shapes_and_types_are_checked_in_these_tests():
    from multilode_papers.makers.water_molecule import dipole

    with pytest.raises(Exception, match="positions"):
        dipole(None)
