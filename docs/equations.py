"""Which function computes which formula: collects the `Source:` lines of docstrings in one page.

python docs/equations.py            # write docs/equations.md
python docs/equations.py --check    # 1 if the page is old or a source does not exist

A `Source:` line ends its paragraph and names formulas of `docs/theory.md` and entries of
`docs/references.bib`, with a place in these: `Source: theory#potential; Grisafi2019 Eq. 2.`
"""

import ast
import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PAGE = DOCS / "equations.md"
SOURCES = (ROOT / "src", ROOT / "papers" / "src")

_PLACE = re.compile(r"(Eqs?\. \d[\d, and-]*|sections? \d[\d., and-]*|SI)")
_ENTRY = re.compile(r"@\w+\{(\w+),(.*?)\n\}", re.DOTALL)
_FIELD = re.compile(r"^\s*(\w+)\s*=\s*\{(.*)\},$", re.MULTILINE)
_ACCENTS = {r"{\'a}": "á", r"{\'e}": "é", r"{\'o}": "ó", r"{\"o}": "ö", r"{\~n}": "ñ"}


class Use(NamedTuple):
    """What a docstring names: `theory#anchor`, or the key of a paper and the place in it."""

    path: Path
    name: str
    source: str
    place: str


def formulas() -> dict[str, str]:
    """Titles of the formulas of the theory by anchor, in their order; the text in bold after it."""
    text = (DOCS / "theory.md").read_text(encoding="utf-8")
    found = re.findall(r'<a id="([\w-]+)"></a>\n(.*)', text)
    titles = {}
    for anchor, line in found:
        bold = re.match(r"\*\*(.+?)\*\*", line)
        titles[anchor] = bold[1].rstrip(".") if bold else anchor.replace("-", " ").capitalize()
    return titles


def references() -> dict[str, str]:
    """One line for each entry of the bibliography, by key."""
    text = (DOCS / "references.bib").read_text(encoding="utf-8")
    for tex, letter in _ACCENTS.items():
        text = text.replace(tex, letter)
    lines = {}
    for key, body in _ENTRY.findall(text):
        field = {k: v.replace("{", "").replace("}", "") for k, v in _FIELD.findall(body)}
        names = [name.split(",")[0] for name in field["author"].split(" and ")]
        where = " ".join(
            field[k] for k in ("journal", "publisher", "volume", "pages") if k in field
        )
        line = f"{', '.join(names)}: {field['title']}. {where.replace('--', '-')} ({field['year']})"
        doi = field.get("doi")
        lines[key] = f"{line}, [doi:{doi}](https://doi.org/{doi})" if doi else line
    return lines


def uses() -> list[Use]:
    """What the docstrings of all modules, classes and functions name as their sources."""
    paths = [path for root in SOURCES if root.exists() for path in sorted(root.rglob("*.py"))]
    return [use for path in paths for use in _uses_of(path)]


def _uses_of(path: Path) -> Iterator[Use]:
    module = ".".join(path.with_suffix("").parts[path.parts.index("src") + 1 :])
    module = module.removesuffix(".__init__")
    for name, docstring in _docstrings(ast.parse(path.read_text(encoding="utf-8")), module):
        for paragraph in re.findall(r"Source:\s+(.+?)(?:\n\s*\n|\Z)", docstring, re.DOTALL):
            for item in " ".join(paragraph.split()).removesuffix(".").split(";"):
                source, _, place = item.strip().partition(" ")
                yield Use(path.relative_to(ROOT), name, source, place)


def _docstrings(
    node: ast.Module | ast.ClassDef | ast.FunctionDef, name: str
) -> Iterator[tuple[str, str]]:
    """Full names and docstrings of a module and of all that it defines."""
    text = ast.get_docstring(node, clean=False)
    if text:
        yield name, inspect.cleandoc(text)
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            yield from _docstrings(child, f"{name}.{child.name}")


def problems(found: list[Use]) -> list[str]:
    """A sentence for each source that does not exist, or that says its place in other words."""
    anchors = {f"theory#{anchor}" for anchor in formulas()}
    keys = references()
    wrong = []
    for use in found:
        named = f"{use.path} ({use.name}): source '{use.source} {use.place}'".replace(" '", " '")
        if use.source in anchors and use.place:
            wrong.append(f"{named}: after an anchor of the theory nothing follows but ';'")
        elif use.source in keys and use.place and not _PLACE.fullmatch(use.place):
            wrong.append(f"{named}: write the place as 'Eq. 2', 'section 4.3' or 'SI', or leave it")
        elif use.source not in anchors and use.source not in keys:
            wrong.append(f"{named}: use an anchor of theory.md or a key of references.bib")
    return wrong


def page(found: list[Use]) -> str:
    """The text of the page."""
    by_source = defaultdict(list)
    for use in found:
        by_source[use.source].append(use)
    titles, keys = formulas(), references()
    lines = [
        "# Equation → function",
        "",
        "Written by `make docs` from the `Source:` lines of docstrings. Formulas stand in "
        "[theory.md](theory.md).",
        "",
        "| formula | computed in |",
        "|---|---|",
    ]
    for anchor, title in titles.items():
        users = ", ".join(dict.fromkeys(map(_link, by_source[f"theory#{anchor}"])))
        if users:
            lines.append(f"| [{title}](theory.md#{anchor}) | {users} |")
    lines += ["", "## Papers", "", "| paper | place | computed in |", "|---|---|---|"]
    for key in sorted(key for key in keys if by_source[key]):
        places = defaultdict(list)
        for use in by_source[key]:
            places[use.place].append(use)
        for place in sorted(places, key=_in_order):
            users = ", ".join(dict.fromkeys(map(_link, places[place])))
            lines.append(f"| [{key}](#{key.lower()}) | {place} | {users} |")
    lines += ["", "## References", ""]
    lines += [f'* <a id="{key.lower()}"></a>{key}: {keys[key]}' for key in sorted(keys)]
    return "\n".join(lines) + "\n"


def _link(use: Use) -> str:
    return f"[`{use.name.partition('.')[2] or use.name}`](../{use.path.as_posix()})"


def _in_order(place: str) -> tuple[str, float]:
    number = re.search(r"\d+(\.\d+)?", place)
    return place.partition(" ")[0].rstrip("s."), float(number[0]) if number else 0.0


def main(arguments: list[str]) -> int:
    """Write or check the page."""
    found = uses()
    wrong = problems(found)
    if arguments == ["--check"]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page(found):
            wrong.append("docs/equations.md is old: run `make docs`")
    elif not wrong:
        PAGE.write_text(page(found), encoding="utf-8")
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
