"""Structures and their values from files, and back."""

import os
import warnings
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import TypeVar

import ase.db
import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_numbers, chemical_symbols
from ase.io.extxyz import read_xyz

from multilode.data.dataset import DataError, Dataset, Origin, concatenate
from multilode.data.structure_checks import check_structure, torn_apart
from multilode.data.xyz_scan import frame_texts
from multilode.errors import DataWarning
from multilode.files import replacing
from multilode.progress import Progress
from multilode.structures.batch import Structures

Frame = TypeVar("Frame")

_DATABASES = (".db",)
_XYZ = (".xyz", ".extxyz")
_STRUCTURAL = ("numbers", "positions")


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


def from_ase(atoms: Sequence[Atoms], source: Sequence[Origin] | None = None) -> Dataset:
    """A data set from ASE's objects.

    Args:
        atoms: the structures; `info`, per-atom arrays and results of a calculator become columns.
        source: where each one comes from; by default its place in the list.

    Raises:
        DataError: if a structure cannot be used, as for `read`.

    Warns:
        DataWarning: if layers or wires look as if they had been wrapped across the vacuum.
    """
    images = list(atoms)
    origins = source or [Origin("structures in memory", i) for i in range(len(images))]
    for image, origin in zip(images, origins, strict=True):
        check_structure(
            image.positions, image.numbers, np.asarray(image.cell), image.pbc, origin=origin
        )
    _warn_if_torn_apart(images, origins)
    values = [_values(image) for image in images]
    return Dataset(
        structures=Structures.from_arrays(
            [image.positions for image in images],
            [image.numbers for image in images],
            [np.asarray(image.cell) for image in images],
            [image.pbc for image in images],
        ),
        columns=_transposed([v[0] for v in values]),
        atom_columns=_transposed([v[1] for v in values]),
        source=tuple(origins),
    )


def _warn_if_torn_apart(images: Sequence[Atoms], origins: Sequence[Origin]) -> None:
    """One warning, about the first of the structures that look wrapped."""
    seen = [torn_apart(image.positions, np.asarray(image.cell), image.pbc) for image in images]
    torn = [i for i, text in enumerate(seen) if text is not None]
    if torn:
        others = f" (and {len(torn) - 1} more)" if len(torn) > 1 else ""
        warnings.warn(DataWarning(f"{origins[torn[0]]}{others}: {seen[torn[0]]}"), stacklevel=3)


def to_ase(dataset: Dataset) -> list[Atoms]:
    """ASE's objects for the structures of a data set, with all values in `info` and `arrays`.

    Args:
        dataset: the structures and their values.
    """
    positions = dataset.structures.positions.detach().cpu().numpy()
    species = dataset.structures.species.cpu().numpy()
    cells = dataset.structures.cell.detach().cpu().numpy()
    pbcs = dataset.structures.pbc.cpu().numpy()
    ends = dataset.structures.counts.cumsum(0).tolist()
    images = []
    for i, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        image = Atoms(species[start:end], positions[start:end], cell=cells[i], pbc=pbcs[i])
        image.info = {k: v[i] for k, v in dataset.columns.items() if v[i] is not None}
        for key, arrays in dataset.atom_columns.items():
            if arrays[i] is not None:
                image.set_array(key, np.asarray(arrays[i]))
        images.append(image)
    return images


def write(path: str | Path, dataset: Dataset) -> None:
    """Write structures and all their values as extended XYZ, in one step.

    Args:
        path: the file; a name that ends in `.gz` is compressed.
        dataset: the structures and their values, predictions among them.

    Raises:
        OSError: if the folder does not exist or cannot be written to.
    """
    images = [_with_results(image) for image in to_ase(dataset)]
    with replacing(path) as temporary:
        ase.io.write(temporary, images, format="extxyz")


def atomic_number(symbol: str) -> int:
    """The atomic number of a chemical symbol.

    Args:
        symbol: such as `O`, in any case.

    Raises:
        ValueError: if there is no such element.
    """
    number = atomic_numbers.get(symbol.strip().capitalize(), 0)
    if number == 0:
        raise ValueError(f"'{symbol}' is not a chemical element; give a symbol such as 'O'")
    return number


def chemical_symbol(number: int) -> str:
    """The chemical symbol of an atomic number."""
    return chemical_symbols[number]


def check_species(dataset: Dataset, known: Sequence[int]) -> None:
    """Check that a model knows the elements of all structures.

    Args:
        dataset: the structures.
        known: the atomic numbers that the model was trained with.

    Raises:
        DataError: naming the first structure with another element.
    """
    species = dataset.structures.species.cpu().numpy()
    unknown = np.flatnonzero(~np.isin(species, list(known)))
    if len(unknown):
        structure = int(dataset.structures.structure_index[int(unknown[0])])
        file, frame = dataset.source[structure]
        symbol = chemical_symbol(int(species[unknown[0]]))
        raise DataError(
            f"contains {symbol}, which the model was not trained on",
            remedy=f"it knows {', '.join(chemical_symbol(z) for z in sorted(known))}: remove the "
            "structure, or train a model with this element in its training set",
            file=file,
            frame=frame,
        )


def _read_one(path: Path, index: str, progress: Progress | None) -> Dataset:
    _check_file(path)
    suffix = [s for s in path.suffixes if s != ".gz"][-1:]
    if suffix and suffix[0] in _XYZ:
        frames = _numbered(frame_texts(path), index, path)
        images = (next(read_xyz(StringIO(text), slice(None))) for _, text in frames)
        numbers = [i for i, _ in frames]
        chosen = list(zip(numbers, _readable(images, path, numbers, progress), strict=True))
    elif path.suffix in _DATABASES:
        chosen = _numbered(list(_database_rows(path, progress)), index, path)
    else:
        images = ase.io.iread(path, index=":", do_not_split_by_at_sign=True)
        chosen = _numbered(list(_readable(images, path, None, progress)), index, path)
    return from_ase([image for _, image in chosen], [Origin(str(path), i) for i, _ in chosen])


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
        with ase.db.connect(path) as database:
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
        chosen = numbered[slice(*parts)] if len(parts) > 1 else [numbered[parts[0]]]
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


def _values(image: Atoms) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Values of a structure and of its atoms, those of a calculator included."""
    columns, atom_columns = (
        dict(image.info),
        {key: array for key, array in image.arrays.items() if key not in _STRUCTURAL},
    )
    for key, value in getattr(image.calc, "results", {}).items():
        if np.ndim(value) > 0 and len(value) == len(image) and key not in ("stress", "dipole"):
            atom_columns.setdefault(key, np.asarray(value))
        elif value is not None:
            columns.setdefault(key, value)
    return columns, atom_columns


def _with_results(image: Atoms) -> Atoms:
    """Standard properties move to a calculator, where ASE's writers look for them."""
    results = {k: image.info.pop(k) for k in list(image.info) if k in all_properties}
    for key in [k for k in image.arrays if k in all_properties]:
        results[key] = image.arrays.pop(key)
    if results:
        image.calc = SinglePointCalculator(image, **results)
    return image


def _transposed(rows: Sequence[dict]) -> dict[str, tuple]:
    keys = dict.fromkeys(key for row in rows for key in row)
    return {key: tuple(row.get(key) for row in rows) for key in keys}
