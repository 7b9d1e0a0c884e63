"""One self-contained page with the results: text, tables and figures in a single HTML file."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from matplotlib import rc_context
from matplotlib.figure import Figure

from multilode.files import replacing, write_text

_STYLE = """
:root { color-scheme: light; --ink: #1d242b; --soft: #5f6b76; --line: #dde2e7; --blue: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f7f9; color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 .8rem; }
.lead { color: var(--soft); margin: 0 0 1.6rem; max-width: 46rem; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px;
  padding: 1.2rem 1.3rem; margin: 0 0 1.2rem; }
section p { margin: 0 0 .9rem; max-width: 46rem; }
.panels { display: flex; flex-wrap: wrap; gap: 1.4rem; align-items: flex-start; margin: 0 0 .9rem; }
figure { margin: 0; flex: 1 1 min(100%, 400px); max-width: 640px; }
figure img { width: 100%; height: auto; display: block; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .35rem; }
.wide { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .95rem; }
th, td { padding: .4rem .55rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
td.text, th.text { text-align: left; }
thead th { border-bottom: 2px solid var(--line); }
pre { margin: 0; overflow-x: auto; font: .85rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
@media (max-width: 560px) { main { padding: 1.1rem .7rem 2rem; } section { padding: .9rem .8rem; }
  h1 { font-size: 1.35rem; } table { font-size: .82rem; }
  th, td { padding: .35rem .3rem; } }
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""


@final
@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text and numbers; numbers are shown with four significant digits."""

    header: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]


@final
@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure with its caption."""

    figure: Figure
    caption: str


@final
@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page; empty parts are left out.

    Args:
        heading: its title.
        text: a paragraph.
        tables: tables, which stand beside the figures where the screen is wide enough.
        pictures: figures.
        listing: text that is shown as it is, such as a configuration.
    """

    heading: str
    text: str = ""
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    listing: str = ""


def render_report(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The page as HTML; it needs no other file and no network.

    Args:
        title: its title.
        lead: one or two sentences below it.
        sections: its parts, in order.
    """
    parts = "\n".join(_section(section) for section in sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{html.escape(title)}</h1>
<p class="lead">{html.escape(lead)}</p>
{parts}
</main>
</body>
</html>
"""


def shown(value: str | float | None) -> str:
    """An entry of a table as text: four significant digits, a dash for a missing value."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write_report(path: str | Path, title: str, lead: str, sections: Sequence[Section]) -> None:
    """Write the page atomically.

    Args:
        path: the HTML file.
        title: title of the page.
        lead: one or two sentences below it.
        sections: its parts, in order.

    Raises:
        OSError: if the folder does not exist or cannot be written to.
    """
    write_text(path, render_report(title, lead, sections))


def save_figure(path: str | Path, figure: Figure) -> None:
    """Write a figure atomically, in the format that the suffix names.

    Args:
        path: the file, such as `curve.png`.
        figure: the figure.

    Raises:
        OSError: if the folder does not exist or cannot be written to.
    """
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=160)


def _section(section: Section) -> str:
    parts = [f"<h2>{html.escape(section.heading)}</h2>"]
    if section.text:
        parts.append(f"<p>{html.escape(section.text)}</p>")
    panels = [*map(_table, section.tables), *map(_picture, section.pictures)]
    if panels:
        parts.append(f'<div class="panels">{"".join(panels)}</div>')
    if section.listing:
        parts.append(f"<pre>{html.escape(section.listing)}</pre>")
    return "<section>\n" + "\n".join(parts) + "\n</section>"


def _table(table: Table) -> str:
    # A column is text if its first entry is; its header is aligned with it.
    is_text = [isinstance(v, str) for v in (table.rows[0] if table.rows else table.header)]
    head = "".join(_cell("th", h, text=t) for h, t in zip(table.header, is_text, strict=True))
    body = "\n".join(
        "<tr>"
        + "".join(_cell("td", v, text=t) for v, t in zip(row, is_text, strict=True))
        + "</tr>"
        for row in table.rows
    )
    text = f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"
    return f'<div class="wide">{text}</div>'


def _cell(tag: str, value: str | float | None, *, text: bool) -> str:
    attribute = ' class="text"' if text else ""
    return f"<{tag}{attribute}>{html.escape(shown(value))}</{tag}>"


def _picture(picture: Picture) -> str:
    buffer = io.BytesIO()
    # names within a drawing come from its contents, so that equal runs have equal reports
    with rc_context({"svg.hashsalt": "multilode"}):
        picture.figure.savefig(buffer, format="svg", dpi=160, metadata={"Date": None})
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    caption = html.escape(picture.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/svg+xml;base64,{encoded}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )
