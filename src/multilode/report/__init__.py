"""Results for people: tables, plots and self-contained HTML.

Names to know: `Table`, `Section`, `write_report`.
Reports read results and change none.
A new table or plot is a function that returns a `Table` or a figure for a `Section`.
"""

from multilode.report.document import (
    Picture,
    Section,
    Table,
    render_report,
    save_figure,
    shown,
    write_report,
)
from multilode.report.plots import (
    COLORS,
    CurveSeries,
    binding_curve,
    error_bars,
    errors_against_bars,
    learning_curves,
    parity,
)

__all__ = [
    "COLORS",
    "CurveSeries",
    "Picture",
    "Section",
    "Table",
    "binding_curve",
    "error_bars",
    "errors_against_bars",
    "learning_curves",
    "parity",
    "render_report",
    "save_figure",
    "shown",
    "write_report",
]
