"""Tables on the terminal."""

from rich.console import Console
from rich.table import Table as RichTable

from multilode.report.document import Table, shown


def print_table(table: Table) -> None:
    """Print a table to the standard output.

    Args:
        table: the same that goes into a report.
    """
    first = table.rows[0] if table.rows else table.header
    printed = RichTable(box=None, pad_edge=False, header_style="bold")
    for name, value in zip(table.header, first, strict=True):
        justify = "left" if isinstance(value, str) else "right"
        printed.add_column(name, justify=justify, overflow="fold")
    for row in table.rows:
        printed.add_row(*(shown(value) for value in row))
    Console(highlight=False, markup=False).print(printed)
