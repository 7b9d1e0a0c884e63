"""Requirements on structures, checked before anything is computed from them."""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree

from multilode.data.dataset import DataError, Dataset, Origin
from multilode.structures.elements import HEAVIEST, chemical_symbol

_SAME_PLACE = 1e-3  # Å; closer than this two atoms are one atom written twice
_SMALLEST_VOLUME = 1e-6  # Å^d of d periodic vectors
_SHORTEST_PERIOD = 0.1  # Å; an atom has too many images within a cutoff for any memory
_LAYERS_APART = 5.0  # Å; layers that are farther than this apart do not touch
_FARTHEST = 1e8  # Å; beyond it the rounding of a distance can be seen


def check_structure(
    positions: Float[np.ndarray, "atom 3"],
    species: Int[np.ndarray, " atom"],
    cell: Float[np.ndarray, "3 3"],
    pbc: Bool[np.ndarray, " 3"],
    *,
    origin: Origin,
) -> None:
    """Check one structure.

    Args:
        positions: Cartesian positions in Å.
        species: atomic numbers.
        cell: rows are lattice vectors in Å.
        pbc: periodicity along each lattice vector.
        origin: file and frame, for the message.

    Raises:
        DataError: if there is no atom, an atom without element, a position or cell that is not
            finite or extremely far away, lattice vectors of periodic axes that are zero or not
            independent or give a period below 0.1 Å, or two atoms in one place (periodic images
            included).
    """
    problem = (
        _bad_atoms(positions, species)
        or _bad_cell(cell, pbc)
        or _same_place(positions, completed_cell(cell, pbc), pbc)
    )
    if problem is not None:
        raise DataError(problem[0], remedy=problem[1], file=origin.file, frame=origin.frame)


def torn_apart(
    positions: Float[np.ndarray, "atom 3"],
    cell: Float[np.ndarray, "3 3"],
    pbc: Bool[np.ndarray, " 3"],
) -> str | None:
    """Whether a layer or wire looks as if its atoms had been wrapped across the vacuum.

    Along an axis without periodicity, but with a lattice vector, the atoms lie within that vector
    and leave a gap that is wider than the vacuum around them, and wider than between layers.

    Args:
        positions: Cartesian positions in Å.
        cell: rows are lattice vectors in Å.
        pbc: periodicity along each lattice vector.

    Returns:
        The finding and its remedy, or None.
    """
    given = np.linalg.norm(cell, axis=1) > 0
    if not pbc.any() or (pbc | ~given).all():
        return None
    inverse = np.linalg.pinv(completed_cell(cell, given))
    for axis in np.flatnonzero(given & ~pbc):
        along = np.sort(positions @ inverse[:, axis])
        height = 1 / np.linalg.norm(inverse[:, axis])
        outside = height * (1 - along[-1] + along[0])
        inside = height * np.diff(along, prepend=along[0]).max()
        if inside > max(outside, _LAYERS_APART) and outside >= 0:
            return (
                f"along {'abc'[axis]}, which is not periodic, its atoms are in two parts, "
                f"{inside:.3g} Å between them and {outside:.3g} Å around them; if they were "
                "wrapped into the cell, move one part by the lattice vector, or set pbc to T there"
            )
    return None


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


def completed_cell(
    cell: Float[np.ndarray, "3 3"], pbc: Bool[np.ndarray, " 3"]
) -> Float[np.ndarray, "3 3"]:
    """The cell with its non-periodic vectors replaced by unit vectors normal to the others."""
    periodic = cell[pbc]
    normal = np.linalg.svd(periodic)[2][len(periodic) :] if len(periodic) else np.eye(3)
    completed = np.array(cell, dtype=np.float64)
    completed[~pbc] = normal
    return completed


def _bad_atoms(positions: np.ndarray, species: np.ndarray) -> tuple[str, str] | None:
    if len(positions) == 0:
        return "has no atoms", "remove the frame"
    finite = np.isfinite(positions).all(axis=1)
    if not finite.all():
        atom = int(np.flatnonzero(~finite)[0])
        return (
            f"the position of atom {atom} is not finite ({positions[atom].tolist()})",
            "correct it in the file or remove the frame",
        )
    far = np.flatnonzero((np.abs(positions) > _FARTHEST).any(axis=1))
    if len(far):
        return (
            f"atom {int(far[0])} is farther than {_FARTHEST:g} Å from the origin",
            "correct it in the file or remove the frame",
        )
    none = np.flatnonzero((species < 1) | (species > HEAVIEST))
    if len(none):
        return (
            f"atom {int(none[0])} has no chemical element (atomic number {species[none[0]]})",
            "give every atom the symbol of its element",
        )
    return None


def _bad_cell(cell: np.ndarray, pbc: np.ndarray) -> tuple[str, str] | None:
    if not np.isfinite(cell).all():
        return "the cell is not finite", "correct the Lattice in the file or remove the frame"
    if (np.abs(cell[pbc]) > _FARTHEST).any():
        return f"has a period longer than {_FARTHEST:g} Å", 'set pbc="F F F" for a molecule'
    # singular values: the determinant of the metric could not tell parallel vectors from rounding
    spanned = np.prod(np.linalg.svd(cell[pbc], compute_uv=False))
    if spanned < _SMALLEST_VOLUME and pbc.all():
        return (
            "is periodic but its cell has no volume",
            'set pbc="F F F" for a molecule or give independent lattice vectors',
        )
    if spanned < _SMALLEST_VOLUME:
        flags = " ".join("T" if flag else "F" for flag in pbc)
        return (
            f'is periodic (pbc="{flags}") along lattice vectors that are zero or parallel',
            "set pbc to F along axes without periods or give independent lattice vectors",
        )
    steps = np.array(list(itertools.product((-1, 0, 1), repeat=int(pbc.sum()))))
    periods = np.linalg.norm(steps[steps.any(axis=1)] @ cell[pbc], axis=1)
    if len(periods) and periods.min() < _SHORTEST_PERIOD:
        return (
            f"repeats every {periods.min():.3g} Å",
            "correct the Lattice (in Å) in the file or remove the frame",
        )
    return None


def _same_place(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> tuple[str, str] | None:
    # In fractional coordinates a tree wraps each periodic axis; the radius is the sphere's extent.
    inverse = np.linalg.inv(cell)
    fractional = positions @ inverse
    fractional[:, pbc] %= 1.0
    fractional[:, pbc] %= 1.0  # a tiny negative number gives exactly 1.0 the first time
    tree = KDTree(fractional, boxsize=pbc.astype(np.float64))
    pairs = tree.query_pairs(_SAME_PLACE * np.linalg.norm(inverse, 2), output_type="ndarray")
    difference = fractional[pairs[:, 0]] - fractional[pairs[:, 1]]
    difference[:, pbc] -= np.round(difference[:, pbc])
    close = np.linalg.norm(difference @ cell, axis=1) < _SAME_PLACE
    if not close.any():
        return None
    first, second = sorted(pairs[np.flatnonzero(close)[0]].tolist())
    return (
        f"atoms {first} and {second} are in the same place",
        "remove one of them (or an atom that repeats a periodic image), or the frame",
    )
