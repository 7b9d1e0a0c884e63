"""The map of the house shows the house."""

import ast
import re
from pathlib import Path

from multilode import testing
from test_layers import LAYERS

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "multilode"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def names_in(path: Path) -> set[str]:
    """Classes, methods and functions of a file, methods as `Class.method`; and its variables."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
            inner = node.body if isinstance(node, ast.ClassDef) else []
            found |= {f"{node.name}.{n.name}" for n in inner if isinstance(n, ast.FunctionDef)}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def test_the_tree_is_the_list_of_layers():
    tree = re.search(r"```\nsrc/multilode/\n(.*?)```", PAGE, re.DOTALL)[1]
    lines = [line for line in tree.splitlines() if re.match(r"  \w", line)]
    rooms = [line.split()[0].removesuffix("/").removesuffix(".py") for line in lines]
    assert rooms == LAYERS


def test_every_function_that_the_page_names_exists():
    named = re.findall(r"`([\w/]+\.py):([\w.]+)`", PAGE)
    for path, name in named:
        assert (SOURCE / path).exists(), path
        assert name in names_in(SOURCE / path), f"{path} has no {name}"


def test_every_file_and_room_that_the_page_names_exists():
    for path in re.findall(r"`([a-z_]+/(?:[\w/]+\.py)?)`", PAGE):
        assert (SOURCE / path).exists() or (ROOT / path).exists(), path


def test_every_table_that_the_page_names_stands_where_it_says():
    named = re.findall(r"`([A-Z_]+)`(?:,| of) `([\w/]+\.py)`", PAGE)
    assert len(named) >= 8
    for name, path in named:
        assert name in names_in(SOURCE / path), f"{path} has no {name}"


def test_every_check_that_the_page_names_is_public():
    for name in re.findall(r"`(check_\w+)`", PAGE):
        assert hasattr(testing, name), name
