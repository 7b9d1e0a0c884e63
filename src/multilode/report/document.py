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
from multilode.report.interactive import Plot, page_file, plot_html, plot_script, plot_style

_MOST_NAMES = 24  # sections with a line of links to them
_TALL = 16  # rows of a table that has a scroll bar of its own
_LONG = 48  # characters of an entry that may take several lines


@final
@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text and numbers; numbers are shown with four significant digits.

    Args:
        header: names of the columns.
        rows: their entries.
        bar: header of the column whose numbers are also drawn as bars.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]
    bar: str | None = None


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
        points: sentences, one below the other.
        tables: tables, which stand beside the figures where the screen is wide enough.
        plots: what one can explore.
        pictures: figures that stay as they are.
        listing: text that is shown as it is, such as a configuration.
        folded: whether the listing is shown on a click only.
        inserted: HTML that stands at the end as it is.
    """

    heading: str
    text: str = ""
    points: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    pictures: tuple[Picture, ...] = ()
    listing: str = ""
    folded: bool = False
    inserted: str = ""


def render_report(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The page as HTML; it needs no other file and no network.

    Args:
        title: its title.
        lead: one or two sentences below it.
        sections: its parts, in order.
    """
    parts = "\n".join(_section(section, number) for number, section in enumerate(sections))
    plots = any(section.plots for section in sections)
    style = page_file("report.css") + (plot_style() if plots else "")
    script = f"<script>\n{plot_script()}</script>\n" if plots else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{html.escape(title)}</h1>
<p class="lead">{html.escape(lead)}</p>
{_links(sections)}{parts}
</main>
{script}</body>
</html>
"""


def _links(sections: Sequence[Section]) -> str:
    """A line with the headings of a page, if there are enough to need one."""
    if not 3 < len(sections) <= _MOST_NAMES:
        return ""
    links = (f'<a href="#s{k}">{html.escape(s.heading)}</a>' for k, s in enumerate(sections))
    return f"<nav>{''.join(links)}</nav>\n"


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


def _section(section: Section, number: int) -> str:
    parts = [f"<h2>{html.escape(section.heading)}</h2>"]
    if section.text:
        parts.append(f"<p>{html.escape(section.text)}</p>")
    if section.points:
        points = "\n".join(f"<li>{html.escape(point)}</li>" for point in section.points)
        parts.append(f"<ul>\n{points}\n</ul>")
    panels = [*map(_table, section.tables), *map(plot_html, section.plots)]
    panels += map(_picture, section.pictures)
    if panels:
        parts.append('<div class="panels">' + "\n".join(panels) + "</div>")
    if section.listing:
        listing = f"<pre>{html.escape(section.listing)}</pre>"
        folded = f"<details><summary>show</summary>{listing}</details>"
        parts.append(folded if section.folded else listing)
    if section.inserted:
        parts.append(section.inserted)
    return f'<section id="s{number}">\n' + "\n".join(parts) + "\n</section>"


def _table(table: Table) -> str:
    # A column is text if its first entry is; its header is aligned with it.
    is_text = [isinstance(v, str) for v in (table.rows[0] if table.rows else table.header)]
    head = "".join(_cell("th", h, _class(h, t)) for h, t in zip(table.header, is_text, strict=True))
    place = None if table.bar is None else table.header.index(table.bar)
    known = () if place is None else (row[place] for row in table.rows)
    largest = max((abs(v) for v in known if isinstance(v, int | float)), default=0.0)
    lines = []
    for row in table.rows:
        cells = (
            _bar(value, largest) if k == place else _cell("td", value, _class(value, text))
            for k, (value, text) in enumerate(zip(row, is_text, strict=True))
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    body = "\n".join(lines)
    text = f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"
    tall = " tall" if len(table.rows) > _TALL else ""
    return f'<div class="wide{tall}">{text}</div>'


def _class(value: str | float | None, text: bool) -> str:  # noqa: FBT001 - of its column
    if not text:
        return ""
    return "text long" if isinstance(value, str) and len(value) > _LONG else "text"


def _cell(tag: str, value: str | float | None, kind: str) -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f"<{tag}{attribute}>{html.escape(shown(value))}</{tag}>"


def _bar(value: str | float | None, largest: float) -> str:
    number = value if isinstance(value, int | float) else 0.0
    share = 100 * abs(number) / largest if largest > 0 else 0.0
    return f'<td class="bar" style="--share:{share:.1f}%">{html.escape(shown(value))}</td>'


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
