"""One structure with its values, as a reader found it, and data sets made of these."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Int

from multilode.data.dataset import DataError, Dataset, Origin
from multilode.data.properties import known_property, of_atoms, of_structure
from multilode.data.structure_checks import check_structure, torn_apart
from multilode.errors import DataWarning
from multilode.structures.batch import Structures

_FORCES = ("forces", "force")


@final
@dataclass(frozen=True, kw_only=True)
class Frame:
    """A structure before it is checked.

    Args:
        positions: in Å.
        numbers: atomic numbers.
        cell: rows are lattice vectors in Å.
        pbc: periodicity along each of them.
        columns: values of the structure.
        atom_columns: arrays with one row per atom.
        remarks: what the user should know of how it was read.
    """

    positions: Float[np.ndarray, "atom 3"]
    numbers: Int[np.ndarray, " atom"]
    cell: Float[np.ndarray, "3 3"]
    pbc: Bool[np.ndarray, " 3"]
    columns: Mapping[str, object] = field(default_factory=dict)
    atom_columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def dataset_of(frames: Sequence[Frame], origins: Sequence[Origin]) -> Dataset:
    """The data set of checked frames.

    Args:
        frames: as they were read.
        origins: file and number of each one.

    Raises:
        DataError: if a structure cannot be used.

    Warns:
        DataWarning: of what was not read as it stands, once for all frames with the same; and if
            layers or wires look as if they had been wrapped across the vacuum.
    """
    for frame, origin in zip(frames, origins, strict=True):
        check_structure(frame.positions, frame.numbers, frame.cell, frame.pbc, origin=origin)
    _warn(frames, origins)
    return Dataset(
        structures=Structures.from_arrays(
            [frame.positions for frame in frames],
            [frame.numbers for frame in frames],
            [frame.cell for frame in frames],
            [frame.pbc for frame in frames],
        ),
        columns=_transposed([frame.columns for frame in frames]),
        atom_columns=_transposed([frame.atom_columns for frame in frames]),
        source=tuple(origins),
    )


def sorted_values(
    columns: Mapping[str, object], atom_columns: Mapping[str, np.ndarray], n_atoms: int
) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Values of a structure in their usual shape, and those that are known to be its atoms'.

    Args:
        columns: what a file has for the structure; forces may be among them, or charges.
        atom_columns: arrays with one row per atom.
        n_atoms: number of atoms.

    Raises:
        DataError: if a property stands in both with different values.
    """
    kept, arrays = {}, dict(atom_columns)
    for key, value in columns.items():
        found = known_property(key)
        own = found is not None and (found[0] == key.lower() or found[0] in _FORCES)
        array = of_atoms(key, value, n_atoms) if own else None
        if array is None:
            kept[key] = of_structure(key, value)
        else:
            require_same(key, array, arrays.get(key, array), "of the structure", "of its atoms")
            arrays[key] = array
    return kept, arrays


def require_same(key: str, first: object, second: object, one: str, other: str) -> None:
    """Check that two sources of one value agree, but for what printed digits leave out.

    Args:
        key: name of the value.
        first: the value from the first source.
        second: from the second one.
        one: what the first source is.
        other: what the second one is.

    Raises:
        DataError: with both values, if they differ.
    """
    if not _same(first, second):
        raise DataError(
            f"there are two values: {_short(first)} {one} and {_short(second)} {other}",
            remedy="remove one of them",
            key=key,
        )


def _same(first: object, second: object) -> bool:
    a, b = np.asarray(first), np.asarray(second)
    if a.dtype.kind not in "iufc" or b.dtype.kind not in "iufc":
        return a.shape == b.shape and bool(np.all(a == b))
    if a.size != b.size:
        return False
    scale = float(np.abs(np.nan_to_num(a)).max(initial=0.0))
    return np.allclose(a.ravel(), b.ravel(), rtol=1e-6, atol=1e-7 * scale, equal_nan=True)


def _short(value: object) -> str:
    array = np.asarray(value)
    text = " ".join(f"{x}" for x in array.ravel()[:3].tolist())
    return text if array.size <= 3 else f"{text} ..."


def _warn(frames: Sequence[Frame], origins: Sequence[Origin]) -> None:
    """One warning for each remark, about the first of the frames that it is true of."""
    found: dict[str, list[Origin]] = {}
    for frame, origin in zip(frames, origins, strict=True):
        torn = torn_apart(frame.positions, frame.cell, frame.pbc)
        if torn is not None:
            found.setdefault("torn apart", []).append(origin)
        for text in frame.remarks:
            found.setdefault(text, []).append(origin)
        if torn is not None and len(found["torn apart"]) == 1:
            first_torn = torn
    for text, where in found.items():
        others = f" (and {len(where) - 1} more)" if len(where) > 1 else ""
        said = first_torn if text == "torn apart" else text
        warnings.warn(DataWarning(f"{where[0]}{others}: {said}"), stacklevel=4)


def _transposed(rows: Sequence[Mapping]) -> dict[str, tuple]:
    keys = dict.fromkeys(key for row in rows for key in row)
    return {key: tuple(row.get(key) for row in rows) for key in keys}
