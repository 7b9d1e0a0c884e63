"""Plots that one can explore: their points are in the page, and the page draws them.

The same points are what its CSV buttons save, so that a report stays one file.
"""

import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, final

import numpy as np
from jaxtyping import Float, Int

_DIGITS = 8  # of a number in a page
MOST_POINTS = 3000  # of a series; more make a page heavy and a plot no clearer
_WORST = 0.2  # of these points, the share of those with the largest errors


@final
@dataclass(frozen=True, kw_only=True)
class Series:
    """Points with one colour.

    Args:
        name: in the legend.
        columns: numbers of each point by the label of their axis; others are shown with a point.
        labels: what each point is, such as file and frame.
        line: whether points are joined.
        spread: label of the column with half the length of the error bars.
    """

    name: str
    columns: Mapping[str, Float[np.ndarray, " point"]]
    labels: Sequence[str] = ()
    line: bool = False
    spread: str | None = None


@final
@dataclass(frozen=True)
class Guide:
    """A line y = slope x + offset."""

    slope: float
    offset: float = 0.0
    dashed: bool = False


@final
@dataclass(frozen=True, kw_only=True)
class Plot:
    """A plot with a caption.

    Args:
        name: of the file that its CSV button saves.
        caption: a sentence below it.
        x: labels of horizontal axes, the first of them shown first.
        y: label of the vertical axis.
        series: at least one.
        log: labels of logarithmic axes.
        equal: whether both axes have one range.
        guides: lines behind the points; on logarithmic axes those through the origin.
        marks: places of vertical dashed lines.
        bands: shaded ranges of x.
    """

    name: str
    caption: str
    x: tuple[str, ...]
    y: str
    series: tuple[Series, ...]
    log: frozenset[str] = frozenset()
    equal: bool = False
    guides: tuple[Guide, ...] = ()
    marks: tuple[float, ...] = ()
    bands: tuple[tuple[float, float], ...] = field(default=())


def chosen_points(
    sizes: Float[np.ndarray, " point"], most: int = MOST_POINTS
) -> Int[np.ndarray, " chosen"]:
    """Which of many points are drawn: the largest, and others evenly from first to last.

    Args:
        sizes: what makes a point worth seeing, such as its error.
        most: number of points that is enough.
    """
    if len(sizes) <= most:
        return np.arange(len(sizes))
    n_worst = int(_WORST * most)
    order = np.argsort(-sizes, kind="stable")
    rest = np.sort(order[n_worst:])
    even = rest[np.linspace(0, len(rest) - 1, most - n_worst).round().astype(int)]
    return np.unique(np.concatenate([order[:n_worst], even]))


def plot_html(plot: Plot) -> str:
    """The figure of a plot: its points as JSON, and the places where the page draws."""
    data = json.dumps(_plain(plot), ensure_ascii=False, separators=(",", ":"))
    data = data.replace("<", "\\u003c")  # nothing in it ends the script
    caption = html.escape(plot.caption)
    return (
        f'<figure class="plot"><div class="tools"></div>'
        f'<div class="canvas" role="img" aria-label="{caption}"></div>'
        f"<figcaption>{caption}</figcaption>"
        f'<script type="application/json">{data}</script></figure>'
    )


def plot_style() -> str:
    """What a page with plots needs beside its own style."""
    return page_file("uPlot.min.css")


def plot_script() -> str:
    """The scripts of a page with plots, with the licence of the one that is not ours."""
    licence = page_file("uPlot.LICENSE").replace("*/", "")
    return f"/* uPlot: {licence} */\n{page_file('uPlot.iife.min.js')}\n{page_file('report.js')}"


def page_file(name: str) -> str:
    """The text of a file that goes into pages."""
    return (files("multilode.report") / "page" / name).read_text(encoding="utf-8")


def _plain(plot: Plot) -> dict[str, Any]:
    return {
        "file": re.sub(r"[^\w.-]+", "_", plot.name),
        "x": list(plot.x),
        "y": plot.y,
        "log": sorted(plot.log),
        "equal": plot.equal,
        "guides": [{"slope": g.slope, "offset": g.offset, "dashed": g.dashed} for g in plot.guides],
        "marks": [{"x": x} for x in plot.marks],
        "bands": [{"low": low, "high": high} for low, high in plot.bands],
        "series": [
            {
                "name": series.name,
                "line": series.line,
                "spread": series.spread,
                "labels": list(series.labels),
                "columns": {k: [_number(v) for v in vs] for k, vs in series.columns.items()},
            }
            for series in plot.series
        ],
    }


def _number(value: float) -> float | int | None:
    """A number with the digits that a plot needs; None where there is none."""
    value = float(value)
    if not math.isfinite(value):
        return None
    rounded = float(f"{value:.{_DIGITS}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
