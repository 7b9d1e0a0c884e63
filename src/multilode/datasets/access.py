"""Locating and reading the files of a data set."""

import os
import re
from pathlib import Path
from pkgutil import resolve_name

import numpy as np

from multilode.data import Dataset, read
from multilode.datasets.checksums import check_all, check_shipped
from multilode.datasets.entry import Collection, Entry
from multilode.datasets.installed import DatasetError, collection_of, entry_of
from multilode.progress import Progress

_READABLE = re.compile(r"\.(ext)?xyz(\.gz)?$")


def load(
    name: str,
    part: str | None = None,
    folder: str | Path | None = None,
    *,
    index: str = ":",
    progress: Progress | None = None,
) -> Dataset:
    """Read a data set.

    Args:
        name: as in the catalogue.
        part: such as `train`; by default all of it.
        folder: folder of files that do not ship: the folder of `datasets make`, looked into
            before what ships; for other data the one that holds their folders.
        index: which structures of each file, written like a Python index, such as `::10`.
        progress: called with the number of structures read and their total, file by file.

    Raises:
        DatasetError: if there is no such data set or part, or its files are not there.
        DataError: if a file cannot be read.
    """
    entry = entry_of(name)
    paths = file_paths(name, folder=folder)
    if entry.read:
        dataset: Dataset = resolve_name(entry.read)(paths)
    else:
        named = {_part_of(name, path): path for path in paths}
        if part is not None and part in named:
            return read(named[part], index, progress=progress)
        dataset = read(paths, index, progress=progress)
    return dataset if part is None else _selected(name, dataset, entry.part_key, part)


def available(name: str, folder: str | Path | None = None) -> bool:
    """Whether the files of a data set are here.

    Args:
        name: as in the catalogue.
        folder: as for `load`.

    Raises:
        DatasetError: if there is no such data set.
    """
    entry_of(name)
    try:
        file_paths(name, folder=folder)
    except DatasetError:
        return False
    return True


def file_paths(name: str, part: str | None = None, folder: str | Path | None = None) -> list[Path]:
    """The files of a data set.

    Args:
        name: as in the catalogue.
        part: one that has a file of its own; by default all files.
        folder: as for `load`.

    Raises:
        DatasetError: if they are not here; the message says what is needed.
    """
    collection = collection_of(name)
    entry = collection.entries[name]
    given = None if folder is None else Path(folder)
    if entry.files:
        paths = _third_party(name, entry, given)
    elif entry.fetch:
        paths = _fetched(name, given)
    else:
        paths = _made(name, collection, given)
    if part is None:
        return paths
    chosen = [path for path in paths if _part_of(name, path) == part]
    if not chosen:
        parts = ", ".join(filter(None, (_part_of(name, path) for path in paths))) or "none"
        raise DatasetError(f"no file of '{name}' is the part '{part}'; parts with files: {parts}")
    return chosen


def cache_folder(name: str) -> Path:
    """Folder of a fetched data set: under `MULTILODE_CACHE`, or the user's cache."""
    from platformdirs import user_cache_dir

    root = os.environ.get("MULTILODE_CACHE")
    return Path(root or user_cache_dir("multilode")) / name


def _third_party(name: str, entry: Entry, given: Path | None) -> list[Path]:
    root = given or os.environ.get("MULTILODE_DATA")
    if not root:
        raise DatasetError(
            f"'{name}' is third-party data and does not ship with multilode: get it from "
            f"{entry.citation}, and set MULTILODE_DATA (or give the folder) to where "
            f"{entry.folder}/{entry.files[0]} is"
        )
    paths = [Path(root) / entry.folder / file for file in entry.files]
    for path in paths:
        if not path.is_file():
            raise DatasetError(
                f"'{name}' needs {path}, which is not there; set MULTILODE_DATA (or give the "
                f"folder) to the one that holds {entry.folder}/"
            )
    return paths


def _made(name: str, collection: Collection, given: Path | None) -> list[Path]:
    """Files made in the given folder, otherwise those that ship."""
    for root in filter(None, (given, collection.shipped)):
        paths = [
            path
            for path in root.glob(f"{name}*.xyz.gz")
            if path.name == f"{name}.xyz.gz" or _part_of(name, path)
        ]
        if paths and root == collection.shipped:
            for path in paths:
                check_shipped(path, collection.package)
        if paths:  # 'train' before the others, whatever they are called
            return sorted(paths, key=lambda path: (_part_of(name, path) != "train", path.name))
    where = "" if given is None else f", and {given} holds no {name}.xyz.gz or {name}_PART.xyz.gz"
    raise DatasetError(
        f"'{name}' does not ship with this version{where}; make it with 'multilode datasets make "
        f"{name}' and give its folder"
    )


def _fetched(name: str, given: Path | None) -> list[Path]:
    root = cache_folder(name) if given is None else given / name
    files = (p for p in root.rglob("*") if p.is_file() and _READABLE.search(p.name))
    paths = sorted(p for p in files if ".unfinished-" not in str(p.relative_to(root)))
    if not paths:
        raise DatasetError(
            f"'{name}' is not in {root}; fetch it with 'multilode datasets fetch {name}', or put "
            "the files of the record there yourself"
        )
    check_all(root)
    return paths


def _part_of(name: str, path: Path) -> str | None:
    """The part that a file holds; None if it holds all."""
    stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    if stem in (name, name.replace("-", "_")):
        return None
    files = entry_of(name).files
    if files:
        return stem if len(files) > 1 else None
    return stem.removeprefix(f"{name}_") if stem.startswith(f"{name}_") else None


def _selected(name: str, dataset: Dataset, key: str, part: str) -> Dataset:
    if key not in dataset.columns:
        raise DatasetError(f"'{name}' has no parts; leave the part '{part}' out")
    labels = np.array(dataset.labels(key))
    chosen = np.flatnonzero(labels == part)
    if not len(chosen):
        known = ", ".join(sorted(set(labels.tolist())))
        raise DatasetError(f"'{name}' has no part '{part}'; it has {known}")
    return dataset.select(chosen)
