"""Tables of errors, the same in a report, after a training and after an evaluation."""

from collections.abc import Callable, Sequence
from typing import Any

from multilode.models.targets import Target, with_unit
from multilode.prediction.comparison import Errors
from multilode.report.document import Section, Table

PERCENT_NOTE = (
    "RMSE% is the RMSE divided by the standard deviation of the target over the same set, times "
    "100: always predicting the mean gives 100."
)
FORCES_NOTE = "Rows of forces count atoms; their errors are those of single components."
TENSOR_NOTE = (
    "Rows with l are the irreducible spherical components of the tensors (l = 0 of a 3x3 tensor is "
    "its trace over the root of 3), their squares adding up to those of the tensors."
)


REST_NOTE = (
    "% of rest is the RMSE relative to what the baseline leaves: to the standard deviation of the "
    "target less its baseline over the same set."
)
BARS_NOTE = "In bars: errors that are not larger than their error bars, of 100."
STRESS_NOTE = "Stresses are per volume of the cell; of layers and wires they are along the periods."


def errors_note(errors: Sequence[Errors]) -> str:
    """Explanation of the numbers in a table of errors."""
    rows = [row for found in errors for row in found.as_dicts()]
    notes = {
        PERCENT_NOTE: True,
        REST_NOTE: _known(rows, "rmse_percent_of_rest"),
        TENSOR_NOTE: any(found.components for found in errors),
        FORCES_NOTE: any(found.forces is not None for found in errors),
        STRESS_NOTE: any(found.stress is not None for found in errors),
        BARS_NOTE: _known(rows, "within_bars_percent"),
    }
    return " ".join(note for note, wanted in notes.items() if wanted)


def table_by_set(errors: Sequence[Errors], target: Target) -> Table:
    """Errors of whole sets, one row per set, those of its components and forces below it."""
    rows = [row for found in errors for row in found.as_dicts() if row["group"] == "all"]

    def name(row: dict[str, Any]) -> str:
        return ", ".join([row["split"], *filter(None, [row.get("component")])])

    return _table("set", rows, name, target)


def table_by_group(errors: Errors, target: Target) -> Table:
    """Errors of one set: all of it, each group, each component, by size and by element."""
    return _table("group", errors.as_dicts(), _name_in_set, target)


def tables_of_parts(errors: Errors, target: Target) -> list[Table]:
    """Errors of one set by size, and of its forces by element; none where there is one of them."""
    whole, wanted = errors.as_dicts(), {"size": errors.sizes, "element": errors.elements}
    component = {"size": ("per atom", "sizes"), "element": ("forces",)}
    return [
        _table(
            name,
            [r for r in whole if r.get("component") in component[name] and r["group"] != "all"],
            lambda row: row["group"],
            target,
            unit_in_header=True,
        )
        for name, found in wanted.items()
        if found
    ]


def part_sections(errors: Errors, target: Target, group: str | None, *, name: str) -> list[Section]:
    """Errors of one set by group, and by size and element.

    Args:
        errors: of the set.
        target: its property.
        group: name of the groups.
        name: of the set.
    """
    sections = []
    if len(errors.rows) > 1:
        rows = errors.as_dicts()[1 : len(errors.rows)]
        columns = {f"{target.per}s": "n", with_unit("RMSE", target.unit): "rmse"}
        columns |= {with_unit("MAE", target.unit): "mae"}
        table = Table(
            header=(group or "group", *columns),
            rows=tuple((row["group"], *(row[key] for key in columns.values())) for row in rows),
            bar=with_unit("RMSE", target.unit),
        )
        heading = f"Errors of the {name} set by {group or 'group'}"
        sections.append(Section(heading=heading, tables=(table,)))
    parts = tables_of_parts(errors, target)
    if parts:
        heading = f"Errors of the {name} set by size and element"
        sections.append(Section(heading=heading, tables=tuple(parts)))
    return sections


def _name_in_set(row: dict[str, Any]) -> str:
    if "component" not in row:
        return row["group"]
    return row["component"] if row["group"] == "all" else f"{row['component']}, {row['group']}"


def _known(rows: Sequence[dict[str, Any]], column: str) -> bool:
    return any(row[column] is not None for row in rows)


def _table(
    first: str,
    rows: Sequence[dict[str, Any]],
    name: Callable[[dict[str, Any]], str],
    target: Target,
    *,
    unit_in_header: bool = False,
) -> Table:
    """One line per row; where its unit is another than in the header, its name says so."""
    unit = rows[0]["unit"] if unit_in_header else target.unit
    counted = "atoms" if rows[0].get("component") == "forces" else f"{target.per}s"
    columns = {counted: "n", with_unit("RMSE", unit): "rmse", with_unit("MAE", unit): "mae"}
    columns |= {"RMSE%": "rmse_percent"}
    more = {"% of rest": "rmse_percent_of_rest", "in bars (%)": "within_bars_percent"}
    columns |= {header: key for header, key in more.items() if _known(rows, key)}
    return Table(
        header=(first, *columns),
        rows=tuple(
            (
                name(row) if row["unit"] == unit else with_unit(name(row), row["unit"]),
                *(row[key] for key in columns.values()),
            )
            for row in rows
        ),
        bar=with_unit("RMSE", unit) if unit_in_header else None,
    )
