"""Arguments and options that commands share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="Configuration file.")]
ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="Model file made by 'train'.")]
StructureFiles = Annotated[
    list[Path],
    typer.Argument(metavar="STRUCTURES...", help="Extended XYZ, .gz, .db, or what else ASE reads."),
]
BaselineFile = Annotated[
    Path | None,
    typer.Option(
        metavar="CONFIG.yaml", help="Configuration with the calculator that is the baseline."
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="DIR",
        help="Folder for results; default: one here with the name of the configuration.",
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Replace a setting, as in --set estimator.seed=1; may be given again.",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the results of an earlier run in the folder.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS|local:N",
        help="Dask workers: N processes here, or those of a scheduler.",
    ),
]
Viewed = Annotated[
    bool,
    typer.Option(
        "--structures", help="Show the structures with the largest errors in the report, in 3D."
    ),
]
Index = Annotated[str, typer.Option(help="Frames to take, written as in Python: '::10', '-1'.")]
ReferenceKey = Annotated[
    str | None, typer.Option(help="Property to compare with; default: that of the training.")
]
ForcesKey = Annotated[
    str | None, typer.Option(metavar="KEY", help="Also compare forces with this property.")
]
StressKey = Annotated[
    str | None, typer.Option(metavar="KEY", help="Also compare stresses with this property.")
]
UnitOfKey = Annotated[
    str | None, typer.Option(help="Unit of the property there, if not that of the model.")
]
UnitOfForces = Annotated[
    str | None, typer.Option(help="Unit of the forces there; default: that of the training.")
]
UnitOfStress = Annotated[
    str | None, typer.Option(help="Unit of the stresses there; default: that of the training.")
]


def named_folder(config: Path, more: str = "") -> Path:
    """A folder here with the name of a configuration; one without a suffix has that name itself."""
    return Path(config.stem + (more or ("" if config.suffix else "-run")))
