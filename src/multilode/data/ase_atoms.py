"""Data sets from ASE's objects, and back."""

import warnings
from collections.abc import Iterable, Sequence

import numpy as np
from ase import Atoms

from multilode.data.dataset import Dataset, Origin
from multilode.data.structure_checks import check_structure, torn_apart
from multilode.errors import DataWarning
from multilode.structures.batch import Structures

_STRUCTURAL = ("numbers", "positions")


def from_ase(atoms: Atoms | Iterable[Atoms], source: Sequence[Origin] | None = None) -> Dataset:
    """A data set from ASE's objects, with all values that these have, like `read` of a file.

    Args:
        atoms: one structure or several; `info`, per-atom arrays and results of a calculator become
            columns.
        source: origin of each one; by default its place in the list.

    Raises:
        DataError: if a structure cannot be used, as for `read`.

    Warns:
        DataWarning: if layers or wires look as if they had been wrapped across the vacuum.
    """
    images = [atoms] if isinstance(atoms, Atoms) else list(atoms)
    origins = (
        list(source)
        if source is not None
        else [Origin("structures in memory", i) for i in range(len(images))]
    )
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


def _warn_if_torn_apart(images: Sequence[Atoms], origins: Sequence[Origin]) -> None:
    """One warning, about the first of the structures that look wrapped."""
    seen = [torn_apart(image.positions, np.asarray(image.cell), image.pbc) for image in images]
    torn = [i for i, text in enumerate(seen) if text is not None]
    if torn:
        others = f" (and {len(torn) - 1} more)" if len(torn) > 1 else ""
        warnings.warn(DataWarning(f"{origins[torn[0]]}{others}: {seen[torn[0]]}"), stacklevel=3)


def _values(image: Atoms) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Values of a structure and of its atoms, those of a calculator included."""
    columns: dict[str, object] = dict(image.info)
    atom_columns = {key: array for key, array in image.arrays.items() if key not in _STRUCTURAL}
    for key, value in getattr(image.calc, "results", {}).items():
        if np.ndim(value) > 0 and len(value) == len(image) and key not in ("stress", "dipole"):
            atom_columns.setdefault(key, np.asarray(value))
        elif value is not None:
            columns.setdefault(key, value)
    return columns, atom_columns


def _transposed(rows: Sequence[dict]) -> dict[str, tuple]:
    keys = dict.fromkeys(key for row in rows for key in row)
    return {key: tuple(row.get(key) for row in rows) for key in keys}
