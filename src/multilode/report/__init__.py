"""Results for people: tables, plots and self-contained HTML.

Names to know: `Table`, `Plot`, `Section`, `write_report`.
Reports read results and change none. A `Plot` is what one explores, a `Picture` stays as it is.
A new table or plot is a function that returns a `Table` or a `Plot` for a `Section`.
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
from multilode.report.interactive import Guide, Plot, Series
from multilode.report.plots import (
    COLORS,
    CurveSeries,
    binding_curve,
    error_bars,
    learning_curves,
)

__all__ = [
    "COLORS",
    "CurveSeries",
    "Guide",
    "Picture",
    "Plot",
    "Section",
    "Series",
    "Table",
    "binding_curve",
    "error_bars",
    "learning_curves",
    "render_report",
    "save_figure",
    "shown",
    "write_report",
]
