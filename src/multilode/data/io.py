"""Structures and their values from files, and back."""

import os
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

import ase.db
import ase.io
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.extxyz import read_xyz

from multilode.data.ase_atoms import from_ase, to_ase
from multilode.data.dataset import DataError, Dataset, Origin, concatenate
from multilode.data.xyz_scan import frame_texts
from multilode.files import replacing
from multilode.progress import Progress

Frame = TypeVar("Frame")

_DATABASES = (".db",)
_XYZ = (".xyz", ".extxyz")


def read(
    paths: str | Path | Sequence[str | Path],
    index: str = ":",
    *,
    progress: Progress | None = None,
) -> Dataset:
    """Read structures, with all values that the files give for them.

    Extended XYZ, ASE's SQLite database (`.db`) and everything else that ASE reads, `.gz` included.
    Energies and forces that ASE keeps in a calculator are found under `energy` and `forces`.

    Args:
        paths: one file or several, read in order.
        index: which frames of each file, written like a Python index: `:`, `::10`, `-1`.
        progress: called with the number of structures read and their total, file by file.

    Raises:
        DataError: if a file is missing, empty, truncated or unreadable, or a structure has
            positions that are not finite, two atoms in one place, or a periodic cell without
            volume.
    """
    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    if not listed:
        raise DataError("no file is given", remedy="name at least one file with structures")
    return concatenate([_read_one(Path(path), index, progress) for path in listed])


def write(path: str | Path, dataset: Dataset) -> None:
    """Write structures and all their values as extended XYZ, atomically.

    Args:
        path: the file; a name that ends in `.gz` is compressed.
        dataset: the structures and their values, predictions among them.

    Raises:
        OSError: if the folder does not exist or cannot be written to.
    """
    images = [_with_results(image) for image in to_ase(dataset)]
    with replacing(path) as temporary:
        ase.io.write(temporary, images, format="extxyz")


def _read_one(path: Path, index: str, progress: Progress | None) -> Dataset:
    _check_file(path)
    suffix = [s for s in path.suffixes if s != ".gz"][-1:]
    if suffix and suffix[0] in _XYZ:
        frames = _numbered(frame_texts(path), index, path)
        images = (_parsed(text) for _, text in frames)
        numbers = [i for i, _ in frames]
        chosen = list(zip(numbers, _readable(images, path, numbers, progress), strict=True))
    elif path.suffix in _DATABASES:
        chosen = _numbered(list(_database_rows(path, progress)), index, path)
    else:
        images = ase.io.iread(path, index=":", do_not_split_by_at_sign=True)
        chosen = _numbered(list(_readable(images, path, None, progress)), index, path)
    return from_ase([image for _, image in chosen], [Origin(str(path), i) for i, _ in chosen])


def _parsed(frame: str) -> Atoms:
    # declared for open files of the disk, and reads any text
    found = read_xyz(StringIO(frame), slice(None))  # pyright: ignore[reportArgumentType]
    return next(found)


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


def _readable(
    images: Iterator[Atoms], path: Path, frames: list[int] | None, progress: Progress | None
) -> Iterator[Atoms]:
    """The structures that ASE parses; its many kinds of exceptions become one."""
    done = 0
    while True:
        try:
            image = next(images, None)
        except (KeyboardInterrupt, MemoryError):
            raise
        except Exception as error:  # readers of fifty formats raise what they like
            raise DataError(
                f"cannot be read ({type(error).__name__}: {error})",
                remedy="check that the file is complete and that its suffix names its format",
                file=str(path),
                frame=frames[done] if frames else done,
            ) from error
        if image is None:
            return
        done += 1
        if progress is not None:
            progress(done, len(frames) if frames else done)
        yield image


def _database_rows(path: Path, progress: Progress | None) -> Iterator[Atoms]:
    try:
        opened: Any = ase.db.connect(path)  # ASE's type is that of a base class without a file
        with opened as database:
            total = len(database)
            for number, row in enumerate(database.select(), start=1):
                image = row.toatoms()
                image.info = {**row.data, **row.key_value_pairs}
                if progress is not None:
                    progress(number, total)
                yield image
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:
        raise DataError(
            f"is not a database that ASE can read ({type(error).__name__}: {error})",
            remedy="write it again with ase.db",
            file=str(path),
        ) from error


def _numbered(frames: list[Frame], index: str, path: Path) -> list[tuple[int, Frame]]:
    """The frames that an index selects, with their numbers."""
    numbered = list(enumerate(frames))
    try:
        parts = [int(part) if part.strip() else None for part in index.split(":")]
        chosen = numbered[slice(*parts)] if len(parts) > 1 else [numbered[int(index)]]
    except (ValueError, TypeError, IndexError) as error:
        raise DataError(
            f"the index '{index}' does not fit a file with {len(frames)} frames",
            remedy="write it as in Python, for example ':', '0', '-1' or '::10'",
            file=str(path),
        ) from error
    if not chosen:
        raise DataError(
            f"the index '{index}' selects none of {len(frames)} frames",
            remedy="check the file and the index",
            file=str(path),
        )
    return chosen


def _with_results(image: Atoms) -> Atoms:
    """Standard properties move to a calculator, where ASE's writers look for them."""
    results = {k: image.info.pop(k) for k in list(image.info) if k in all_properties}
    for key in [k for k in image.arrays if k in all_properties]:
        results[key] = image.arrays.pop(key)
    if results:
        image.calc = SinglePointCalculator(image, **results)
    return image
