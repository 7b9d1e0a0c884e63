"""`multilode datasets make`."""

from pathlib import Path
from pkgutil import resolve_name

from multilode.cli import output_folder, progress_stages
from multilode.datasets import DatasetError, catalogue, entry_of
from multilode_papers.makers.shipping import write_parts


def run_make(name: str, output: Path | None, *, workers: int, count: int | None) -> None:
    """Compute a data set, and write one compressed file for each of its parts.

    Args:
        name: of the data set.
        output: folder of the results; what is finished is kept in its sub-folder `parts`.
        workers: number of processes.
        count: size of the set; by default that which ships.

    Raises:
        DatasetError: if it cannot be made, or there is none of this name.
        EngineError: if a code that it needs is not installed.
        OutputError: if the folder cannot be written to.
    """
    maker = entry_of(name).make
    if not maker:
        made = ", ".join(key for key, entry in catalogue().items() if entry.make)
        raise DatasetError(f"'{name}' is not made by multilode; choose from {made}")
    folder = Path(name) if output is None else output
    with output_folder(folder):  # refused now, not after hours
        pass
    with progress_stages() as stage:
        dataset = resolve_name(maker)(
            folder / "parts" / name, count=count, workers=workers, progress=stage(name)
        )
    with output_folder(folder) as staging:
        written = write_parts(staging, name, dataset)
    for path in written:
        print(f"{folder / path.name}")
    print(f"{len(dataset)} structures")
