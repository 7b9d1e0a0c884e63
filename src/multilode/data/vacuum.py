"""Empty layers of periodic structures, which tell molecules and slabs from crystals."""

import numpy as np
from jaxtyping import Float

VACUUM = 8.0  # Å without an atom, across a whole cell: more than any crystal has
_FLAT = 1e-8  # volume of a cell over that of a box with these sides


@np.errstate(all="ignore")  # cells that are no cells are refused where all are
def empty_layers(
    positions: Float[np.ndarray, "atom 3"], cell: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, " 3"]:
    """The thickness in Å of the widest layer without atoms along each lattice vector.

    Args:
        positions: of the atoms, in Å.
        cell: rows are lattice vectors in Å.

    Returns:
        Zeros if there are no atoms, or the cell or a position is of no use.
    """
    if not len(positions) or not (np.isfinite(cell).all() and np.isfinite(positions).all()):
        return np.zeros(3)
    volume, sides = abs(np.linalg.det(cell)), np.linalg.norm(cell, axis=1).prod()
    if not volume > _FLAT * sides:
        return np.zeros(3)
    inverse = np.linalg.inv(cell)
    heights = 1 / np.linalg.norm(inverse, axis=0)
    places = np.sort((positions @ inverse) % 1.0, axis=0)
    gaps = np.diff(np.concatenate([places, places[:1] + 1]), axis=0).max(axis=0)
    return gaps * heights
