"""Data sets from ASE's objects, and back."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.db.core import Database
from ase.db.row import AtomsRow

from multilode.data.ase_results import divided, results_of
from multilode.data.dataset import DataError, Dataset, Origin
from multilode.data.frame import Frame, dataset_of, require_same, sorted_values
from multilode.data.properties import as_matrix, is_voigt, of_structure

IN_MEMORY = "structures in memory"
KEPT_ARRAYS = "multilode_arrays"  # of atoms, in `info` where a format has no place for them
_STRUCTURAL = ("numbers", "positions")


def from_ase(
    atoms: Any, source: Sequence[Origin] | None = None, *, results: bool = True
) -> Dataset:
    """A data set from ASE's objects, with all values that these have, like `read` of a file.

    Args:
        atoms: one structure or several, a trajectory, a database or its rows; `info`, per-atom
            arrays and results of a calculator become columns.
        source: origin of each one; by default its place in the list.
        results: whether those of calculators are looked at.

    Raises:
        DataError: if a structure cannot be used, as for `read`, or a value is given twice, for
            instance by `info` and a calculator, with different numbers.
        TypeError: for what is no object of ASE.

    Warns:
        DataWarning: if the results of a calculator are those of other structures and are left out;
            if layers or wires look as if they had been wrapped across the vacuum.
    """
    images = images_of(atoms)
    origins = (
        list(source) if source is not None else [Origin(IN_MEMORY, i) for i in range(len(images))]
    )
    known = [results_of(image) if results else ({}, "") for image in images]
    remarks = [remark for _, remark in known]
    columns, arrays = divided([found for found, _ in known], [len(image) for image in images])
    frames = []
    for k, (image, origin) in enumerate(zip(images, origins, strict=True)):
        try:
            frames.append(_frame(image, columns[k], arrays[k], remarks[k]))
        except DataError as error:
            raise error.at(origin) from error
    return dataset_of(frames, origins)


def images_of(atoms: Any) -> list[Atoms]:
    """ASE's objects one by one, whatever holds them.

    Args:
        atoms: one structure or several, a trajectory, a database or its rows.

    Raises:
        DataError: if a row of a database has two values under one key.
        TypeError: for what is no object of ASE.
    """
    if isinstance(atoms, Atoms | AtomsRow):
        atoms = [atoms]
    elif isinstance(atoms, Database):
        atoms = atoms.select()
    elif isinstance(atoms, str) or not isinstance(atoms, Iterable):
        raise TypeError(
            f"an ase.Atoms or several are needed, not {atoms!r:.80}; read files by read"
        )
    images = []
    for number, item in enumerate(atoms):
        image = _of_row(item, number) if isinstance(item, AtomsRow) else item
        if not isinstance(image, Atoms):
            raise TypeError(
                f"item {number} is {item!r:.80}, no ase.Atoms; give structures of ASE, or files to "
                "read"
            )
        images.append(image)
    return images


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


def _of_row(row: AtomsRow, number: int) -> Atoms:
    """The structure of a row of a database, with the values that the row has for it."""
    image = row.toatoms()
    values, data = row.key_value_pairs, row.data
    try:
        for key in values.keys() & data.keys():
            require_same(key, values[key], data[key], "in the row", "in its data")
    except DataError as error:
        raise error.at(Origin(IN_MEMORY, number)) from error
    image.info = {**data, **values}
    return image


def _frame(
    image: Atoms, columns: dict[str, Any], arrays: dict[str, np.ndarray], remark: str
) -> Frame:
    """A structure with its values, and those of a calculator."""
    info = dict(image.info)
    own = {key: array for key, array in image.arrays.items() if key not in _STRUCTURAL}
    own |= {key: np.asarray(array) for key, array in info.pop(KEPT_ARRAYS, {}).items()}
    known, own = sorted_values(info, own, len(image))
    for key, value in columns.items():
        value = of_structure(key, value)
        if known.get(key) is not None:
            pair = [known[key], value]
            given, said = map(as_matrix, pair) if is_voigt(key) else pair
            require_same(key, given, said, "in info", "of its calculator")
        else:
            known[key] = value
    for key, array in arrays.items():
        require_same(key, own.get(key, array), array, "in arrays", "of its calculator")
        own.setdefault(key, array)
    return Frame(
        positions=image.positions,
        numbers=image.numbers,
        cell=np.asarray(image.cell),
        pbc=image.pbc,
        columns=known,
        atom_columns=own,
        remarks=(remark,) if remark else (),
    )
