"""The commands `multilode datasets ...`; everything heavy is imported by the one that needs it."""

from pathlib import Path
from typing import Annotated

import typer

datasets_app = typer.Typer(
    name="datasets", help="Reference data: list, show, fetch, make.", rich_markup_mode=None
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As 'multilode datasets list' gives it.")]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Where files are that do not ship; default: MULTILODE_DATA, or the cache.",
    ),
]


@datasets_app.command(name="list")
def list_datasets(data: Data = None) -> None:
    """List all data sets, and which of them are here."""
    from multilode.cli.datasets import run_list

    run_list(data)


@datasets_app.command()
def show(name: Name, data: Data = None) -> None:
    """Show origin, level, targets and caveats of a data set."""
    from multilode.cli.datasets import run_show

    run_show(name, data)


@datasets_app.command()
def path(name: Name, data: Data = None) -> None:
    """Print the files of a data set, one per line."""
    from multilode.cli.datasets import run_path

    run_path(name, data)


@datasets_app.command()
def fetch(name: Name) -> None:
    """Download a data set that is public, into the cache (MULTILODE_CACHE)."""
    from multilode.cli.datasets import run_fetch

    run_fetch(name)
