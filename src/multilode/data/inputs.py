"""Accepted kinds of input: a data set, structures, or objects of ASE."""

from collections.abc import Iterable
from typing import Any

from multilode.data.dataset import NO_FILE, Dataset, Origin
from multilode.structures.batch import Structures

Data = Dataset | Structures | Iterable[Any]  # the last of them holds objects of ASE, or is one


def as_dataset(given: Data) -> Dataset:
    """The same as a data set; structures alone have no columns and no files.

    Args:
        given: a data set, structures, an `ase.Atoms` or several of them.

    Raises:
        DataError: if an object of ASE cannot be used.
        TypeError: for the name of a file.
    """
    if isinstance(given, str):  # which is iterable too
        raise TypeError(f"data are {given!r}, the name of a file; give read({given!r})")
    if isinstance(given, Dataset):
        return given
    if isinstance(given, Structures):
        origins = (Origin(NO_FILE, i) for i in range(given.n_structures))
        return Dataset(structures=given, columns={}, atom_columns={}, source=tuple(origins))
    from multilode.data.ase_atoms import from_ase  # ASE takes longer to import than all the rest

    return from_ase(given)
