"""Short lattice vectors for a given lattice: a mesh along long, skewed ones would waste nodes."""

import itertools

import numpy as np
from jaxtyping import Float, Int

_NEIGHBORS = np.array(list(itertools.product((-1, 0, 1), repeat=2)))
_MOST_STEPS = 1000
_WORTHWHILE = 0.95  # shorter by less changes little; a small strain must not change the basis
_NEARLY_ORTHOGONAL = 0.15  # cosines between vectors, none of which can then become shorter by 5 %


def reduction(
    cell: Float[np.ndarray, "3 3"], pbc: tuple[bool, bool, bool]
) -> Int[np.ndarray, "3 3"]:
    """Whole numbers U of determinant 1, U @ cell a reduced basis of the lattice.

    Only periodic vectors are combined. Each step takes from the longest vector the lattice point of
    the others that is nearest to it, until nothing becomes much shorter.

    Args:
        cell: rows are lattice vectors.
        pbc: periodicity along each.
    """
    transform = np.eye(3, dtype=np.int64)
    periodic = [axis for axis in range(3) if pbc[axis]]
    if len(periodic) < 2 or _nearly_orthogonal(cell[periodic]):
        return transform
    for _ in range(_MOST_STEPS):
        vectors = transform @ cell
        shorter = False
        for axis in sorted(periodic, key=lambda a: -np.linalg.norm(vectors[a])):
            others = [a for a in periodic if a != axis]
            # the nearest point is a corner of the parallelogram around the projection
            near = np.linalg.lstsq(vectors[others].T, vectors[axis], rcond=None)[0]
            trials = np.round(near).astype(np.int64) + _NEIGHBORS[:, : len(others)]
            left = vectors[axis] - trials @ vectors[others]
            best = int(np.argmin(np.linalg.norm(left, axis=1)))
            if np.linalg.norm(left[best]) < _WORTHWHILE * np.linalg.norm(vectors[axis]):
                transform[axis] -= trials[best] @ transform[others]
                shorter = True
                break
        if not shorter:
            break
    return transform


def _nearly_orthogonal(vectors: Float[np.ndarray, "periodic 3"]) -> bool:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = np.abs(unit @ unit.T)
    np.fill_diagonal(cosines, 0)
    return bool(cosines.max() <= _NEARLY_ORTHOGONAL)
