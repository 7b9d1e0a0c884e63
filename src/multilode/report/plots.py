"""Figures of predictions and errors; nothing here touches matplotlib's global state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from multilode.models.targets import with_unit

# Okabe and Ito's palette, distinguishable with every kind of colour vision; markers help in print.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "h")  # pairs with colours come again after 63
_GREY = "#5f6b76"
_DECADES = 1e5  # with more on an axis, only powers of ten are labelled
_LABEL = 1.6  # ratio of numbers whose labels stand apart


@final
@dataclass(frozen=True, kw_only=True)
class CurveSeries:
    """One line of a learning curve.

    Args:
        sizes: numbers of training structures.
        errors: mean error at each size.
        spreads: standard error of that mean at each size.
    """

    sizes: Sequence[int]
    errors: Sequence[float]
    spreads: Sequence[float]


def learning_curves(series: Mapping[str, CurveSeries], *, unit: str) -> Figure:
    """Error against the number of training structures, both logarithmic, with error bars.

    Args:
        series: curves by the name in the legend.
        unit: unit of the error, such as `eV` or `%`.
    """
    figure, axes = _new(6.4, 4.6)
    for k, (name, curve) in enumerate(series.items()):
        axes.errorbar(
            curve.sizes,
            curve.errors,
            yerr=curve.spreads,
            linestyle="-" if k < len(COLORS) else "--",
            marker=_MARKERS[k % len(_MARKERS)],
            markersize=5,
            linewidth=1.6,
            capsize=3,
            color=COLORS[k % len(COLORS)],
            label=name,
        )
    axes.set(xscale="log", yscale="log")
    sizes = sorted({size for curve in series.values() for size in curve.sizes})
    axes.set_xticks(_apart(sizes))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    _ticks_of_errors(axes)
    axes.set_xlabel("training structures")
    axes.set_ylabel(with_unit("test RMSE", unit))
    _legend(axes, len(series))
    return figure


def _ticks_of_errors(axes: Axes) -> None:
    """Plain numbers on a logarithmic axis, as many as have a place."""
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(
        LogLocator(subs=(1.0, 2.0, 5.0) if high < _DECADES * low else (1.0,), numticks=20)
    )
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter("{x:.3g}")


def _apart(sizes: Sequence[int]) -> list[int]:
    """Sizes whose labels do not touch on a logarithmic axis; the largest is among them."""
    kept = [sizes[-1]]
    for size in reversed(sizes[:-1]):
        if kept[-1] > _LABEL * size:
            kept.append(size)
    return kept[::-1]


def binding_curve(
    distance: Float[np.ndarray, " point"],
    reference: Float[np.ndarray, " point"],
    models: Mapping[str, Float[np.ndarray, " point"]],
    *,
    quantity: str,
    unit: str,
    bars: Mapping[str, Float[np.ndarray, " point"]] | None = None,
    training_range: tuple[float, float] | None = None,
    title: str = "",
) -> Figure:
    """A property along a distance: references as dots, one line per model.

    Args:
        distance: in Å, in any order.
        reference: the property at these distances.
        models: predictions at these distances, by the name in the legend.
        quantity: name of the plotted quantity.
        unit: its unit.
        bars: error bars of some models, drawn as bands.
        training_range: distances in Å that the models were trained on, shaded.
        title: name of the curve.
    """
    figure, axes = _new(6.4, 4.6)
    order = np.argsort(distance)
    if training_range is not None:
        axes.axvspan(*training_range, color="#e9edf1", zorder=0, label="training range")
    axes.axhline(0, color=_GREY, linewidth=0.8, zorder=1)
    for k, (name, predicted) in enumerate(models.items()):
        own = None if bars is None else bars.get(name)
        _line(axes, distance[order], predicted[order], None if own is None else own[order], k, name)
    axes.plot(distance, reference, "o", color="black", markersize=4.5, label="reference", zorder=5)
    axes.set_xlabel(with_unit("distance", "Å"))
    axes.set_ylabel(with_unit(quantity, unit))
    axes.set_title(title, fontsize=11)
    _legend(axes, 2)
    return figure


def error_bars(
    errors: Mapping[str, Mapping[str, float]], *, unit: str, quantity: str = "RMSE"
) -> Figure:
    """Errors by group as horizontal bars, one color per model.

    Args:
        errors: by model, then by group.
        unit: unit of the errors.
        quantity: which error.
    """
    groups = list(dict.fromkeys(group for by_group in errors.values() for group in by_group))
    thickness = 0.8 / max(len(errors), 1)
    figure, axes = _new(6.4, 1.2 + 0.32 * len(groups) * max(1.0, 0.6 * len(errors)))
    for k, (name, by_group) in enumerate(errors.items()):
        places = np.arange(len(groups)) + (k - (len(errors) - 1) / 2) * thickness
        values = [by_group.get(group, np.nan) for group in groups]
        axes.barh(places, values, height=thickness, color=COLORS[k % len(COLORS)], label=name)
    axes.set_yticks(np.arange(len(groups)), groups)
    axes.invert_yaxis()
    axes.set_xlabel(with_unit(quantity, unit))
    axes.grid(visible=False, axis="y")
    # above the bars: there is no place among them that no bar can reach
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=9.5, borderpad=0
    )
    return figure


def _new(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    _styled(axes)
    return figure, axes


def _styled(axes: Axes) -> None:
    axes.grid(visible=True, color="#dde2e7", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    axes.tick_params(colors="#2b3138", labelsize=10)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_fontsize(11)


def _line(
    axes: Axes, x: np.ndarray, y: np.ndarray, bars: np.ndarray | None, number: int, name: str
) -> None:
    """One model, with its error bars as a band."""
    color = COLORS[number % len(COLORS)]
    style = ("-", "--", "-.", ":")[number % 4]
    axes.plot(x, y, color=color, linestyle=style, linewidth=1.8, label=name)
    if bars is not None:
        axes.fill_between(x, y - bars, y + bars, color=color, alpha=0.2, linewidth=0)


def _legend(axes: Axes, n_series: int) -> None:
    if n_series > 0:
        axes.legend(frameon=True, framealpha=0.85, edgecolor="none", fontsize=9.5)
