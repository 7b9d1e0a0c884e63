"""The page and the text of a reproduced system."""

import json
from collections.abc import Mapping
from typing import Any

from multilode.report import Section, Table, shown
from multilode_papers.systems.outcome import Outcome, rows_table


def data_table(outcome: Outcome) -> Table:
    """The data sets, with the number of structures that the paper had."""
    lines = [
        (data.name, data.structures, "not known" if data.paper is None else data.paper, data.origin)
        for data in outcome.data
    ]
    return Table(header=("data", "structures", "paper", "origin"), rows=tuple(lines))


def sections(outcome: Outcome, listing: str) -> list[Section]:
    """The parts of the page of one system.

    Args:
        outcome: its results.
        listing: all settings as text.
    """
    pictures = tuple(outcome.pictures.values())
    return [
        Section(
            heading="Errors",
            text="RMSE% is the RMSE over the standard deviation of the set, times 100.",
            tables=(rows_table(outcome),),
        ),
        *[Section(heading="Figures", pictures=pictures)][: len(pictures)],
        *[Section(heading=name, tables=(table,)) for name, table in outcome.tables.items()],
        Section(heading="What it shows", text=" ".join(outcome.notes)),
        Section(heading="Data", tables=(data_table(outcome),)),
        Section(heading="Settings", listing=listing),
    ]


def markdown(system: str, title: str, outcome: Outcome, *, quick: bool) -> str:
    """A chapter about one system.

    Args:
        system: its name.
        title: the heading.
        outcome: its results.
        quick: whether it was the short form.
    """
    command = f"multilode reproduce {system}" + (" --quick" if quick else "")
    parts = [f"## {title}", f"```\n{command}\n```"]
    if quick:
        parts += ["**Short form**: fewer structures or smaller bases than in the full run."]
    parts += [markdown_table(rows_table(outcome))]
    parts += [
        f"![{picture.caption}](figures/{system}-{name}.png)"
        for name, picture in outcome.pictures.items()
    ]
    for name, table in outcome.tables.items():
        parts += [f"**{name}**", markdown_table(table)]
    parts += ["\n".join(f"- {note}" for note in outcome.notes)] if outcome.notes else []
    parts += [markdown_table(data_table(outcome))]
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Table) -> str:
    """A table as text."""
    lines = [table.header, tuple("---" for _ in table.header), *table.rows]
    return "\n".join("| " + " | ".join(shown(value) for value in line) + " |" for line in lines)


def settings_text(metrics: Mapping[str, Any]) -> str:
    """Seed and hyper-parameters as text for the end of the page."""
    return json.dumps(
        {"seed": metrics["seed"], "config": metrics["config"]}, indent=1, ensure_ascii=False
    )
