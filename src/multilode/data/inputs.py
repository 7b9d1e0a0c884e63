"""Accepted kinds of input: a data set, structures, or objects of ASE."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from multilode.data.dataset import NO_FILE, Dataset, Origin
from multilode.structures.batch import Structures

# Dataset, Structures, or objects of ASE: Atoms, several of them, a trajectory, a database
Data = Any


def as_dataset(given: Data, *, results: bool = True) -> Dataset:
    """The same as a data set; structures alone have no columns and no files.

    Args:
        given: a data set, structures, an `ase.Atoms` or several of them, a trajectory, a database.
        results: whether the results of calculators of ASE are wanted.

    Raises:
        DataError: if an object of ASE cannot be used.
        TypeError: for the name of a file, or what holds no structures.
    """
    if isinstance(given, str | Path):
        raise TypeError(f"data are {str(given)!r}, the name of a file; give read({str(given)!r})")
    if isinstance(given, Dataset):
        return given
    if isinstance(given, Structures):
        origins = (Origin(NO_FILE, i) for i in range(given.n_structures))
        return Dataset(structures=given, columns={}, atom_columns={}, source=tuple(origins))
    from multilode.data.ase_atoms import from_ase  # ASE takes longer to import than all the rest

    return from_ase(given, results=results)


def as_structures(given: Data, arrays: Iterable[str] = ()) -> Structures:
    """The structures alone, with numbers of their atoms that they have to bring along.

    Args:
        given: as for `as_dataset`.
        arrays: names of per-atom columns.

    Raises:
        DataError: if an object of ASE cannot be used, or a column is missing.
        TypeError: for the name of a file, or what holds no structures.
    """
    if isinstance(given, Structures):
        return given
    names = tuple(arrays)
    return as_dataset(given, results=bool(names)).with_arrays(names).structures
