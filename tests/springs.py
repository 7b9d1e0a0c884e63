"""Three atoms with springs between them: energies whose slopes the forces are."""

import numpy as np
from ase import Atoms


def springs(image: Atoms, seed: int, spread: float) -> tuple[float, np.ndarray]:
    """Energy and forces of springs, after moving the atoms near the corners of a triangle.

    Args:
        image: of three atoms; their positions are changed.
        seed: of the places near the corners.
        spread: standard deviation of these, in Å.
    """
    image.positions = [[0, 0, 0], [0, 0, 2.4], [0, 2.5, 0.5]]
    image.positions += spread * np.random.default_rng(seed).normal(size=(3, 3))
    energy, forces = 0.0, np.zeros((3, 3))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        apart = image.positions[j] - image.positions[i]
        length = np.linalg.norm(apart)
        energy += 2 * (length - 2.2) ** 2
        forces[i] += 4 * (length - 2.2) * apart / length
        forces[j] -= 4 * (length - 2.2) * apart / length
    return energy, forces
