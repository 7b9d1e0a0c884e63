"""`multilode datasets ...`."""

from pathlib import Path

from multilode.cli.output import output_folder
from multilode.cli.progress import progress_stages
from multilode.cli.tables import print_table
from multilode.datasets.access import (
    DatasetError,
    available,
    cache_folder,
    entry_of,
    file_paths,
)
from multilode.datasets.catalogue import DATASETS, Entry
from multilode.report.document import Table

_ORIGINS = {
    "made": "made by us",
    "model": "made by us, MODEL DATA",
    "third-party": "third-party",
    "archive": "fetched from an archive",
}


def run_list(data: Path | None) -> None:
    """Print the catalogue.

    Args:
        data: where files are that do not ship.
    """
    rows = []
    for name, entry in DATASETS.items():
        folder = _folder(entry, data)
        here = available(name, folder=folder)
        size = _megabytes(file_paths(name, folder=folder)) if here else None
        rows.append((name, entry.structures, size, _ORIGINS[entry.kind], "yes" if here else "no"))
    print_table(Table(header=("name", "structures", "MB", "origin", "here"), rows=tuple(rows)))


def run_show(name: str, data: Path | None) -> None:
    """Print what the catalogue says of a data set.

    Args:
        name: of the data set.
        data: where files are that do not ship.

    Raises:
        DatasetError: if there is none of this name.
    """
    entry = entry_of(name)
    targets = ", ".join(f"{k} ({unit or 'no unit'})" for k, unit in entry.targets.items())
    try:
        here = ", ".join(str(path) for path in file_paths(name, folder=_folder(entry, data)))
    except DatasetError as error:
        here = f"no: {error}"
    rows = [
        ("name", name),
        ("what", entry.description),
        ("origin", _ORIGINS[entry.kind]),
        ("level", entry.level),
        ("targets", targets),
        ("structures", "–" if entry.structures is None else str(entry.structures)),
        ("paper", entry.paper),
        ("caveat", entry.caveat),
        ("cite", entry.citation),
        ("here", here),
    ]
    print_table(Table(header=("what", "value"), rows=tuple(row for row in rows if row[1])))


def run_path(name: str, data: Path | None) -> None:
    """Print the files of a data set, one per line.

    Args:
        name: of the data set.
        data: where files are that do not ship.

    Raises:
        DatasetError: if they are not here.
    """
    for path in file_paths(name, folder=_folder(entry_of(name), data)):
        print(path)


def run_fetch(name: str) -> None:
    """Download a data set into the cache, and say where it is.

    Args:
        name: of the data set.

    Raises:
        DatasetError: if it cannot be fetched, or there is none of this name.
        FetchError: if the archive cannot be reached.
    """
    entry = entry_of(name)
    if entry.kind == "third-party":
        raise DatasetError(
            f"'{name}' cannot be fetched: get it from {entry.citation}, and set MULTILODE_DATA to "
            f"the folder that holds {entry.folder}/{entry.files[0]}"
        )
    if entry.kind != "archive":
        for path in file_paths(name):
            print(f"{path} (ships with multilode)")
        return
    from multilode.datasets.download import fetch_record

    folder = cache_folder(name)
    with progress_stages() as stage:
        paths = fetch_record(folder, stage=stage)
    print(f"{len(paths)} files in {folder}")
    print(f"note: {entry.caveat}")


def run_make(name: str, output: Path | None, *, workers: int, count: int | None) -> None:
    """Compute a data set, and write one compressed file for each of its parts.

    Args:
        name: of the data set.
        output: folder of the results; what is finished is kept in its sub-folder `parts`.
        workers: number of processes.
        count: how much of it; by default as much as ships.

    Raises:
        DatasetError: if it cannot be made, or there is none of this name.
        EngineError: if a code that it needs is not installed.
        OutputError: if the folder cannot be written to.
    """
    entry_of(name)
    from multilode.datasets.makers import MAKERS
    from multilode.datasets.shipping import write_parts

    if name not in MAKERS:
        raise DatasetError(f"'{name}' is not made by multilode; choose from {', '.join(MAKERS)}")
    folder = Path(name) if output is None else output
    with output_folder(folder):  # refused now, not after hours
        pass
    with progress_stages() as stage:
        dataset = MAKERS[name](
            folder / "parts" / name, count=count, workers=workers, progress=stage(name)
        )
    with output_folder(folder) as staging:
        written = write_parts(staging, name, dataset)
    for path in written:
        print(f"{folder / path.name}")
    print(f"{len(dataset)} structures")


def _folder(entry: Entry, data: Path | None) -> Path | None:
    """The user's folder; what ships is read from the package."""
    return data if entry.kind in ("third-party", "archive") else None


def _megabytes(paths: list[Path]) -> float:
    return sum(path.stat().st_size for path in paths) / 1e6
