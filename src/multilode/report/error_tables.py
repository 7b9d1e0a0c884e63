"""Tables of errors, the same in a report, after a training and after an evaluation."""

from collections.abc import Callable, Sequence
from typing import Any

from multilode.models.targets import Target, with_unit
from multilode.prediction.evaluation import Errors
from multilode.report.document import Table

PERCENT_NOTE = (
    "RMSE% is the RMSE divided by the standard deviation of the target over the same set, times "
    "100: always predicting the mean gives 100."
)
FORCES_NOTE = "Rows of forces count atoms; their errors are those of single components."
TENSOR_NOTE = (
    "Rows with l are the irreducible spherical components of the tensors (l = 0 of a 3x3 tensor is "
    "its trace over the root of 3), their squares adding up to those of the tensors."
)


def errors_note(*, tensor: bool, forces: bool) -> str:
    """Explanation of the numbers in a table of errors.

    Args:
        tensor: whether there are rows of spherical components.
        forces: whether there are rows of forces.
    """
    notes = {PERCENT_NOTE: True, TENSOR_NOTE: tensor, FORCES_NOTE: forces}
    return " ".join(note for note, wanted in notes.items() if wanted)


def table_by_set(errors: Sequence[Errors], target: Target) -> Table:
    """Errors of whole sets, one row per set, those of its components and forces below it."""
    rows = [row for found in errors for row in found.as_dicts() if row["group"] == "all"]

    def name(row: dict[str, Any]) -> str:
        return ", ".join([row["split"], *filter(None, [row.get("component")])])

    return _table("set", rows, name, target)


def table_by_group(errors: Errors, target: Target) -> Table:
    """Errors of one set: all of it, each group, each component."""
    return _table(
        "group", errors.as_dicts(), lambda row: row.get("component", row["group"]), target
    )


def _table(
    first: str,
    rows: Sequence[dict[str, Any]],
    name: Callable[[dict[str, Any]], str],
    target: Target,
) -> Table:
    """One line per row; where its unit is another than in the header, its name says so."""
    unit = target.unit
    return Table(
        header=(first, f"{target.per}s", with_unit("RMSE", unit), with_unit("MAE", unit), "RMSE%"),
        rows=tuple(
            (
                name(row) if row["unit"] == unit else with_unit(name(row), row["unit"]),
                *(row[column] for column in ("n", "rmse", "mae", "rmse_percent")),
            )
            for row in rows
        ),
    )
