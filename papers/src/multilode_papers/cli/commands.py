"""The signatures of the commands; everything heavy is imported by the one that needs it."""

from pathlib import Path
from typing import Annotated

import typer


def reproduce(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Systems of the papers, or 'all'.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for results.")
    ] = Path("reproduced"),
    quick: Annotated[bool, typer.Option("--quick", help="A few minutes instead of all.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Third-party data; default: MULTILODE_DATA."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of splits and subsets.")] = 0,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with the results that are kept.")
    ] = False,
) -> None:
    """Reproduce systems of the papers; write metrics, figures and a page for each."""
    from multilode_papers.cli.reproduce import run_reproduce

    run_reproduce(names, output, quick=quick, data=data, seed=seed, checked=check)


def make(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="As 'multilode datasets list' gives it.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Folder; default: NAME."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes.")] = 1,
    count: Annotated[
        int | None,
        typer.Option(min=1, help="How much of it: boxes, orientations, dimers per class, ..."),
    ] = None,
) -> None:
    """Compute a data set with open codes; a run that was stopped continues."""
    from multilode_papers.cli.make import run_make

    run_make(name, output, workers=workers, count=count)
