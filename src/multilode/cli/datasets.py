"""`multilode datasets ...`."""

from pathlib import Path
from pkgutil import resolve_name

from multilode.cli.progress import progress_stages
from multilode.cli.tables import print_table
from multilode.datasets import (
    DatasetError,
    Entry,
    available,
    cache_folder,
    catalogue,
    collection_of,
    entry_of,
    file_paths,
)
from multilode.report import Table


def run_list(data: Path | None) -> None:
    """Print the catalogue.

    Args:
        data: folder of files that do not ship.
    """
    rows = []
    for name, entry in catalogue().items():
        folder = _folder(entry, data)
        here = available(name, folder=folder)
        size = _megabytes(file_paths(name, folder=folder)) if here else None
        rows.append((name, entry.structures, size, entry.origin, "yes" if here else "no"))
    print_table(Table(header=("name", "structures", "MB", "origin", "here"), rows=tuple(rows)))


def run_show(name: str, data: Path | None) -> None:
    """Print the catalogue entry of a data set.

    Args:
        name: of the data set.
        data: folder of files that do not ship.

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
        ("origin", entry.origin),
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
        data: folder of files that do not ship.

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
    if entry.files:
        raise DatasetError(
            f"'{name}' cannot be fetched: get it from {entry.citation}, and set MULTILODE_DATA to "
            f"the folder that holds {entry.folder}/{entry.files[0]}"
        )
    if not entry.fetch:
        for path in file_paths(name):
            print(f"{path} (ships with {collection_of(name).package})")
        return
    folder = cache_folder(name)
    with progress_stages() as stage:
        paths = resolve_name(entry.fetch)(folder, stage=stage)
    print(f"{len(paths)} files in {folder}")
    print(f"note: {entry.caveat}")


def _folder(entry: Entry, data: Path | None) -> Path | None:
    """The user's folder; what ships is read from the package."""
    return data if entry.files or entry.fetch else None


def _megabytes(paths: list[Path]) -> float:
    return sum(path.stat().st_size for path in paths) / 1e6
