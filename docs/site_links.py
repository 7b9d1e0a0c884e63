"""Links of the pages made into those of the site; the pages themselves are written for a forge.

Links to pages and headings are Sphinx's own. Links to anchors in HTML (`<a id="potential">`), to
code and to other files of the repository are resolved here; each linked file gets a page with its
text. Extension of Sphinx.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent
# files of the repository that have a page here
HOMES = {
    "README.md": "index",
    "CONTRIBUTING.md": "contributing",
    "CHANGELOG.md": "changelog",
    "examples/README.md": "gallery/index",
}
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".bib": "bibtex"}
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s]+)\)")
ANCHOR = re.compile(r'<a id="([\w-]+)"></a>')
FENCE = re.compile(r"^(```.*?^```)$", re.DOTALL | re.MULTILINE)
INCLUDED = re.compile(r"^```\{include\} (\S+)\n```$", re.MULTILINE)


def links(text: str) -> list[str]:
    """Targets of the links of a page, but for those in blocks of code."""
    prose = FENCE.sub("", text)
    return [target for _, target in LINK.findall(prose)]


def linked(target: str, folder: Path) -> tuple[Path, str] | None:
    """The file of a link in a folder and the anchor in it, or None for another site's."""
    if "://" in target or target.startswith("mailto:"):
        return None
    path, _, anchor = target.partition("#")
    return (folder / path).resolve() if path else folder, anchor


def rewritten(text: str, page: Path) -> str:
    """The page with `source:` and `page:` in links that Sphinx cannot know."""

    def replaced(match: re.Match[str]) -> str:
        found = linked(match[2], page.parent)
        return f"[{match[1]}]({_place(match[2], page, *found)})" if found else match[0]

    parts = FENCE.split(text)
    return "".join(part if FENCE.match(part) else LINK.sub(replaced, part) for part in parts)


def _place(target: str, page: Path, file: Path, anchor: str) -> str:
    if target.startswith("#"):
        in_html = anchor in ANCHOR.findall(page.read_text(encoding="utf-8"))
        if not in_html or not page.is_relative_to(DOCS):
            return target
        file = page
    name = file.relative_to(ROOT).as_posix()
    if name in HOMES:
        return f"page:{HOMES[name]}"
    if file.is_relative_to(DOCS) and file.suffix == ".md":
        if anchor in ANCHOR.findall(file.read_text(encoding="utf-8")):
            return f"page:{file.relative_to(DOCS).with_suffix('').as_posix()}#{anchor}"
        return file.relative_to(DOCS).as_posix() + f"#{anchor}" * bool(anchor)
    return f"source:{name}"


def _read(app: Sphinx, docname: str, source: list[str]) -> None:
    page = Path(app.env.doc2path(docname))
    if page.suffix != ".md":
        return
    included = INCLUDED.search(source[0])
    if included:
        page = (page.parent / included[1]).resolve()
        source[0] = page.read_text(encoding="utf-8")
    source[0] = rewritten(source[0], page)


def _resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for node in doctree.findall(nodes.reference):
        kind, _, target = node.get("refuri", "").partition(":")
        if kind not in ("page", "source"):
            continue
        name, _, anchor = target.partition("#")
        home = f"_source/{name}" if kind == "source" else name
        uri = app.builder.get_relative_uri(docname, home)
        node["refuri"] = f"{uri}#{anchor}" if anchor else uri


def _docstring(
    _app: Sphinx, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]
) -> None:
    """Docstrings are plain text: |x| is a length there; sources become links."""
    paragraphs = "\n".join(lines).split("\n\n")
    lines[:] = "\n\n".join(_linked_sources(part) for part in paragraphs).split("\n")


def _linked_sources(paragraph: str) -> str:
    before, word, after = paragraph.partition("Source: ")
    if not word:
        return _plain(paragraph)
    items = " ".join(after.split()).removesuffix(".").split("; ")
    return f"{_plain(before)}{word}{'; '.join(map(_source_link, items))}."


def _source_link(item: str) -> str:
    name, _, place = item.partition(" ")
    page = name if name.startswith("theory#") else f"equations#{name.lower()}"
    return f"`{name} <page:{page}>`__ {place}".rstrip()


def _plain(text: str) -> str:
    lines = text.split("\n")
    return "\n".join(x.replace("|", r"\|") if "`" not in x else x for x in lines)


def sources() -> set[Path]:
    """Files of the repository that pages link to, and that are no pages."""
    found = set()
    for page in (*DOCS.glob("*.md"), *DOCS.glob("*/*.md"), *(ROOT / name for name in HOMES)):
        for target in links(page.read_text(encoding="utf-8")):
            goal = linked(target, page.parent)
            if goal and _place(target, page, *goal).startswith("source:"):
                found.add(goal[0])
    return found


def _pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    builder: Any = app.builder
    for path in sorted(sources()):
        name = path.relative_to(ROOT).as_posix()
        if path.is_dir():
            text = "\n".join(sorted(x.name for x in path.iterdir() if x.name[0] not in "._"))
        else:
            text = path.read_text(encoding="utf-8")
        language = LANGUAGES.get(path.suffix, "none")
        body = builder.highlighter.highlight_block(text, language)
        yield f"_source/{name}", {"title": name, "body": f"<h1>{name}</h1>{body}"}, "page.html"


def no_arguments(*_: Any) -> list[str]:
    """Scripts of the gallery have no arguments."""
    return []


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("source-read", _read)
    app.connect("doctree-resolved", _resolve)
    app.connect("html-collect-pages", _pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
