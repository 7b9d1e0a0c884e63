"""Structures with their values while they are made, one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from multilode.data import Dataset, Origin
from multilode.structures import Structures


@final
@dataclass(frozen=True, kw_only=True)
class Frame:
    """One structure with its properties.

    Args:
        species: atomic numbers.
        positions: Cartesian positions in Å.
        values: one value under each key.
        atom_values: one row per atom under each key.
        cell: rows are lattice vectors in Å; zero for a molecule.
        pbc: periodicity along each of them.
    """

    species: np.ndarray
    positions: np.ndarray
    values: Mapping[str, object] = field(default_factory=dict)
    atom_values: Mapping[str, np.ndarray] = field(default_factory=dict)
    cell: np.ndarray = field(default_factory=lambda: np.zeros((3, 3)))
    pbc: tuple[bool, bool, bool] = (False, False, False)


def dataset_of(frames: Sequence[Frame]) -> Dataset:
    """The frames as a data set; values that some frames lack stay empty there."""
    keys = dict.fromkeys(key for frame in frames for key in frame.values)
    atom_keys = dict.fromkeys(key for frame in frames for key in frame.atom_values)
    return Dataset(
        structures=Structures.from_arrays(
            [frame.positions for frame in frames],
            [frame.species for frame in frames],
            [frame.cell for frame in frames],
            [np.array(frame.pbc) for frame in frames],
        ),
        columns={key: tuple(frame.values.get(key) for frame in frames) for key in keys},
        atom_columns={
            key: tuple(frame.atom_values.get(key) for frame in frames) for key in atom_keys
        },
        source=tuple(Origin("made structures", i) for i in range(len(frames))),
    )
