"""Known properties: whether they belong to a structure or to its atoms, whatever their length."""

from typing import Literal, NamedTuple

import numpy as np

Owner = Literal["structure", "atom"]


class Property(NamedTuple):
    """A property that people store under a name of their own.

    Args:
        owner: whether a structure or each of its atoms has it.
        shapes: of one value.
    """

    owner: Owner
    shapes: tuple[tuple[int, ...], ...]


_SCALAR, _VECTOR, _TENSOR, _STRESS = ((),), ((3,),), ((3, 3), (9,)), ((3, 3), (9,), (6,))
_OF_STRUCTURES = {
    "energy": _SCALAR,
    "free_energy": _SCALAR,
    "stress": _STRESS,
    "virial": _STRESS,
    "virials": _STRESS,  # of one structure, as in files of MACE
    "dipole": _VECTOR,
    "dipole_moment": _VECTOR,
    "polarization": _VECTOR,
    "polarizability": ((3, 3), (9,), (6,)),
    "dielectric_tensor": _TENSOR,
    "quadrupole": ((3, 3), (9,), (6,), (5,)),
    "magmom": ((), (3,)),
    "total_charge": _SCALAR,
}
_OF_ATOMS = {
    "forces": _VECTOR,
    "force": _VECTOR,
    "charges": _SCALAR,
    "initial_charges": _SCALAR,
    "magmoms": ((), (3,)),
    "initial_magmoms": ((), (3,)),
    "energies": _SCALAR,
    "node_energy": _SCALAR,
    "atomic_energy": _SCALAR,
    "atomic_energies": _SCALAR,
    "stresses": ((6,), (9,), (3, 3)),
    "dipoles": _VECTOR,
    "born_effective_charges": _TENSOR,
    "born_charges": _TENSOR,
    "bec": _TENSOR,
    "momenta": _VECTOR,
    "velocities": _VECTOR,
    "masses": _SCALAR,
    "tags": _SCALAR,
}
_KNOWN: dict[str, Property] = {
    **{name: Property("structure", shapes) for name, shapes in _OF_STRUCTURES.items()},
    **{name: Property("atom", shapes) for name, shapes in _OF_ATOMS.items()},
}
_LABELS = ("ref", "reference", "dft", "qm", "xtb", "target", "true", "label", "total")
_VIRIALS = ("virial", "virials")
VOIGT = ("stress", *_VIRIALS)  # whose six numbers are xx, yy, zz, yz, xz, xy


def known_property(key: str) -> tuple[str, Property] | None:
    """The property that a key names, alone or at its end, as in `REF_energy` or `dft_forces`.

    Args:
        key: in any case.

    Returns:
        Its usual name and what is known of it, or None.
    """
    words = key.lower().replace("-", "_").split("_")
    for first in range(len(words)):
        name = "_".join(words[first:])
        if name in _KNOWN:
            return name, _KNOWN[name]
    return None


def is_voigt(key: str) -> bool:
    """Whether six numbers under a key are a symmetric tensor as ASE has it."""
    found = known_property(key)
    return found is not None and found[0] in VOIGT


def is_number(key: str) -> bool:
    """Whether a key names a property that is one number: an energy, but not an `orbital_energy`."""
    found = known_property(key)
    if found is None or found[1].shapes != _SCALAR:
        return False
    before = key.lower().replace("-", "_").removesuffix(found[0]).split("_")
    return set(before) <= {"", *_LABELS}


def is_virial(key: str) -> bool:
    """Whether a key names a virial, an energy, rather than a stress."""
    found = known_property(key)
    return found is not None and found[0] in _VIRIALS


def of_structure(key: str, value: object) -> object:
    """A value of a structure in its usual shape: a number, a tensor of 3x3.

    Args:
        key: its name.
        value: as a file or a calculator has it.
    """
    array = _numeric(value)
    found = known_property(key)
    if array is None or found is None or found[1].owner == "atom":
        return value
    if found[1].shapes == _SCALAR and array.size == 1 and array.ndim:
        return array.reshape(()).item()
    if found[0] in VOIGT and array.shape == (9,):  # columns first, as in QUIP and ASE
        return array.reshape((3, 3), order="F")
    return value


def as_matrix(value: object) -> object:
    """Six or nine numbers of a stress as 3x3, anything else as it is."""
    array = _numeric(value)
    if array is not None and array.shape == (6,):
        return array[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
    if array is not None and array.shape == (9,):
        return array.reshape((3, 3), order="F")
    return value


def of_atoms(key: str, value: object, n_atoms: int) -> np.ndarray | None:
    """A value as an array with one row per atom, if it is a known property of atoms.

    Args:
        key: its name.
        value: one row per atom, or all numbers in a row.
        n_atoms: number of atoms.

    Returns:
        The array; None if it is no property of atoms, or has not as many numbers.
    """
    array, found = _numeric(value), known_property(key)
    if array is None or found is None or found[1].owner == "structure" or array.ndim == 0:
        return None
    for shape in found[1].shapes:
        full = (n_atoms, *shape)
        if array.shape == full or (array.ndim == 1 and array.size == np.prod(full)):
            return array.reshape(full)
    return None


def _numeric(value: object) -> np.ndarray | None:
    if isinstance(value, str | bytes | dict) or value is None:
        return None
    try:
        array = np.asarray(value)
    except ValueError:  # a ragged list
        return None
    return array if array.dtype.kind in "iufc" else None
