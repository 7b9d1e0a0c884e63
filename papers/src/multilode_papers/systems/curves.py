"""Learning curves as series, tables and figures, alike in all systems."""

from collections.abc import Mapping

from multilode.prediction import LearningCurve
from multilode.report import CurveSeries, Picture, Table, learning_curves

PERCENT = "% of the test standard deviation"


def series_of(curve: LearningCurve) -> CurveSeries:
    """Mean errors in percent with their standard errors, zero for a single repeat."""
    return CurveSeries(
        sizes=curve.sizes,
        errors=curve.mean_percent.tolist(),
        spreads=curve.standard_error_percent.nan_to_num(0.0).tolist(),
    )


def curve_table(series: Mapping[str, CurveSeries]) -> Table:
    """Errors at each size, one line per model; all have the same sizes."""
    sizes = next(iter(series.values())).sizes
    rows = tuple((name, *map(float, curve.errors)) for name, curve in series.items())
    return Table(header=("model", *map(str, sizes)), rows=rows)


def curve_picture(
    series: Mapping[str, CurveSeries], caption: str, *, unit: str = PERCENT
) -> Picture:
    """The curves, with the legend above, where it hides none of them.

    Args:
        series: curves by the name in the legend.
        caption: sentence below the figure.
        unit: of the errors.
    """
    figure = learning_curves(series, unit=unit)
    figure.axes[0].legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=9
    )
    return Picture(figure=figure, caption=caption)
