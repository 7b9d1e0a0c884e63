"""The command `multilode export`; everything heavy is imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model file made by 'train'.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT.pt", help="File to write.")
    ],
    unit: Annotated[
        str | None, typer.Option(help="Of the energies, where the model names none.")
    ] = None,
    dtype: Annotated[
        str, typer.Option(help="Of all numbers of the file, 'float64' or 'float32'.")
    ] = "float64",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it is there.")
    ] = False,
) -> None:
    """Write a model of an energy as a file of metatomic."""
    from multilode.cli.export import run_export

    run_export(model, output, unit=unit, dtype=dtype, overwrite=overwrite)
