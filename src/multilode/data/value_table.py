"""Tables of the values of a data set, one row per structure or per atom."""

import csv
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from multilode.data.dataset import Dataset
from multilode.data.left_out import warn_left_out
from multilode.data.properties import Owner
from multilode.data.xyz_values import as_json
from multilode.errors import UserError
from multilode.structures.elements import chemical_symbol


def write_csv(path: Path, dataset: Dataset) -> None:
    """Write comma-separated values with all their digits; the first line names the columns."""
    table = value_table(dataset)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        for row in zip(*table.values(), strict=True):
            writer.writerow([repr(x) if isinstance(x, float) else x for x in row])


def write_parquet(path: Path, dataset: Dataset) -> None:
    """Write a Parquet file, with `pyarrow`."""
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    parquet.write_table(arrow.table(value_table(dataset)), path)


def require_arrow() -> None:
    """Check that Parquet files can be written.

    Raises:
        UserError: if `pyarrow`, which writes them, is not installed.
    """
    if find_spec("pyarrow") is None:
        raise UserError("'.parquet' needs the package pyarrow; install it, or write .csv or .npz")


def value_table(dataset: Dataset) -> dict[str, list[Any]]:
    """The columns of the table; one row per atom where predictions are those of atoms only.

    Numbers of an array have a column each, `key_0`, `key_1`, ...; what is missing is None.

    Args:
        dataset: the values.

    Warns:
        DataWarning: of arrays of atoms in a table of structures, which are left out.
    """
    per = _rows(dataset)
    files, frames = (
        (list(x) for x in zip(*dataset.source, strict=True)) if len(dataset) else ([], [])
    )
    table: dict[str, list[Any]] = {"file": files, "frame": frames}
    for key, values in dataset.columns.items():
        table |= dict(_spread(key, values))
    if per == "structure":
        advice = "write .npz or .xyz for these"
        warn_left_out(dataset.atom_columns, "a table of structures", advice)
        return table
    index = dataset.structures.structure_index.tolist()
    counts = dataset.structures.counts.tolist()
    table = {key: [values[i] for i in index] for key, values in table.items()}
    table["atom"] = [atom for count in counts for atom in range(count)]
    table["element"] = [chemical_symbol(z) for z in dataset.structures.species.tolist()]
    for key, arrays in dataset.atom_columns.items():
        rows = [[None] * n if a is None else list(a) for a, n in zip(arrays, counts, strict=True)]
        table |= dict(_spread(key, [x for row in rows for x in row]))
    return table


def _rows(dataset: Dataset) -> Owner:
    predicted = [key.startswith("predicted_") for key in dataset.columns]
    of_atoms = [key.startswith("predicted_") for key in dataset.atom_columns]
    return "atom" if any(of_atoms) and not any(predicted) else "structure"


def _spread(key: str, values: Any) -> Iterator[tuple[str, list[Any]]]:
    """One column, or one for each number of arrays that have one shape."""
    shapes = {np.shape(x) for x in values if isinstance(x, np.ndarray) and x.dtype.kind in "iufb"}
    others = [x for x in values if not isinstance(x, np.ndarray) and x is not None]
    shape = shapes.pop() if len(shapes) == 1 and not others else ()
    if not shape:
        yield key, [_cell(x) for x in values]
        return
    flat = [None if x is None else x.ravel().tolist() for x in values]
    for k in range(int(np.prod(shape))):
        yield f"{key}_{k}", [None if row is None else row[k] for row in flat]


def _cell(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | int | float):
        return value
    try:
        return as_json(value)
    except TypeError:
        return str(value)
