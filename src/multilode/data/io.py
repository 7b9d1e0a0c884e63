"""Structures and their values from files, and back."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from multilode.data.archive import read_archive
from multilode.data.ase_atoms import from_ase
from multilode.data.ase_files import DATABASES, ase_images, database_images, is_xyz_for_ase
from multilode.data.dataset import DataError, Dataset, Origin, concatenate
from multilode.data.frame import dataset_of
from multilode.data.writing import writer_of
from multilode.data.xyz_frame import frame_of
from multilode.data.xyz_scan import COMPRESSED, frame_texts
from multilode.files import replacing
from multilode.progress import Progress

Item = TypeVar("Item")
Index = str | int | slice

_XYZ = (".xyz", ".extxyz", ".exyz")
_TABLES = (".csv", ".parquet")


def read(
    paths: Any,
    index: Index = ":",
    *,
    progress: Progress | None = None,
) -> Dataset:
    """Read structures, with all values that the files give for them.

    Extended XYZ, ASE's SQLite database (`.db`) and everything else that ASE reads; XYZ also in
    `.gz`, `.bz2` and `.xz`. Energies and forces that ASE keeps in a calculator are found under
    `energy` and `forces`.

    Args:
        paths: one file or several, read in order; objects of ASE are taken as they are.
        index: which frames of each file, as a Python index: `:`, `::10`, `-1`, or a number or
            slice.
        progress: called with the number of structures read and their total, file by file.

    Raises:
        DataError: if a file is missing, empty, truncated or unreadable, a key that decides on the
            structure (cell, periodicity, columns, species, units) cannot be read, or a structure
            has positions that are not finite, two atoms in one place, or a periodic cell without
            volume.

    Warns:
        DataWarning: of what is read otherwise than it stands there, such as `D` as H.
    """
    if isinstance(paths, str | Path):
        return _read_one(Path(paths), index, progress)
    listed = list(paths) if isinstance(paths, list | tuple) else [paths]
    if not listed:
        raise DataError("no file is given", remedy="name at least one file with structures")
    if not any(isinstance(item, str | Path) for item in listed):
        dataset = from_ase(listed[0] if len(listed) == 1 else listed)
        return dataset.select([i for i, _ in _numbered(range(len(dataset)), index, "the objects")])
    parts = [
        _read_one(Path(item), index, progress)
        if isinstance(item, str | Path)
        else read(item, index)
        for item in listed
    ]
    return concatenate(parts)


def write(path: str | Path, dataset: Dataset) -> None:
    """Write structures and all their values, atomically, in the format that the suffix names.

    Extended XYZ (`.xyz`, `.extxyz`, also with `.gz`, `.bz2` or `.xz`) has all digits and all
    values, and so have `.npz`, ASE's trajectories (`.traj`) and databases (`.db`); tables (`.csv`,
    `.parquet`) have values without structures.

    Args:
        path: the file.
        dataset: the structures and their values, predictions among them.

    Raises:
        UserError: if the suffix names no format that is written.
        OSError: if the folder does not exist or cannot be written to.

    Warns:
        DataWarning: of values that the format cannot hold, which are left out.
    """
    writer = writer_of(path)
    with replacing(path) as temporary:
        writer(temporary, dataset)


def _read_one(path: Path, index: Index, progress: Progress | None) -> Dataset:
    _check_file(path)
    suffixes = [s.lower() for s in path.suffixes if s.lower() not in COMPRESSED]
    last = suffixes[-1] if suffixes else ""
    if last in _XYZ:
        return _read_xyz(path, index, progress)
    if last == ".npz":
        dataset = read_archive(path)
        numbers = [i for i, _ in _numbered(range(len(dataset)), index, str(path))]
        return dataset.select(numbers)
    if last in _TABLES:
        raise DataError(
            f"'{last}' is a table of values, without structures",
            remedy="give structures, as extended XYZ, .npz or what else ASE reads",
            file=str(path),
        )
    if last in DATABASES:
        images = list(database_images(path, progress))
    elif is_xyz_for_ase(path):
        return _read_xyz(path, index, progress)
    else:
        images = list(ase_images(path, progress))
    chosen = _numbered(images, index, str(path))
    return from_ase([image for _, image in chosen], [Origin(str(path), i) for i, _ in chosen])


def _read_xyz(path: Path, index: Index, progress: Progress | None) -> Dataset:
    chosen = _numbered(frame_texts(path), index, str(path))
    frames, origins = [], [Origin(str(path), i) for i, _ in chosen]
    for (_, text), origin in zip(chosen, origins, strict=True):
        try:
            frames.append(frame_of(text))
        except DataError as error:
            raise error.at(origin) from error
        except (ValueError, TypeError, RecursionError, OverflowError) as error:
            raise DataError(
                f"cannot be read ({type(error).__name__}: {error})",
                remedy="check the frame, or remove it",
                file=origin.file,
                frame=origin.frame,
            ) from error
        if progress is not None:
            progress(len(frames), len(chosen))
    return dataset_of(frames, origins)


def _check_file(path: Path) -> None:
    try:
        found, size = path.is_file(), os.path.getsize(path)
    except FileNotFoundError:
        found, size = False, 0
    except OSError as error:  # a name that is too long, a folder without permission
        raise DataError(
            f"cannot be read ({error.strerror})", remedy="check the path", file=str(path)
        ) from error
    if not found:
        problem = "is a folder" if path.is_dir() else "there is no such file"
        raise DataError(problem, remedy="check the path", file=str(path))
    if size == 0:
        raise DataError("the file is empty", remedy="write it again", file=str(path))


def _numbered(items: Sequence[Item], index: Index, place: str) -> list[tuple[int, Item]]:
    """The items that an index selects, with their numbers."""
    numbered = list(enumerate(items))
    try:
        wanted = _parsed_index(index)
        chosen = numbered[wanted] if isinstance(wanted, slice) else [numbered[wanted]]
    except (ValueError, TypeError, IndexError) as error:
        raise DataError(
            f"the index '{index}' does not fit a file with {len(numbered)} frames",
            remedy="write it as in Python, for example ':', '0', '-1' or '::10'",
            file=place,
        ) from error
    if not chosen:
        raise DataError(
            f"the index '{index}' selects none of {len(numbered)} frames",
            remedy="check the file and the index",
            file=place,
        )
    return chosen


def _parsed_index(index: Index) -> slice | int:
    if not isinstance(index, str):
        return index
    parts = [int(part) if part.strip() else None for part in index.split(":")]
    return slice(*parts) if len(parts) > 1 else int(index)
