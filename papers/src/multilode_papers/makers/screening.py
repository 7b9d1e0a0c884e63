"""Polarizability of molecules from those of their atoms, which act on each other.

Source: the self-consistent screening of Tkatchenko, DiStasio, Car and Scheffler, Phys. Rev. Lett.
108, 236402 (2012), at frequency zero, with the full tensor of the molecule instead of its parts.
"""

import math

import numpy as np
from jaxtyping import Float

from multilode_papers.makers.gaussian_charges import isolated

# With widths as published the anisotropy of amino acids is twice that of Hartree-Fock
WIDENING = 1.25


def screened_polarizability(
    positions: Float[np.ndarray, "molecule atom 3"],
    polarizabilities: Float[np.ndarray, "molecule atom"],
) -> Float[np.ndarray, "molecule 3 3"]:
    """Sum over atoms i, j of (A⁻¹)_ij, where A_ii = 1 / α_i and A_ij is the dipole coupling.

    The dipoles are Gaussians, in proportion to the one whose own field makes the polarizability.

    Args:
        positions: of molecules with equally many atoms.
        polarizabilities: of the atoms, in the cube of the positions' unit.
    """
    count = positions.shape[1]
    widths = WIDENING * (math.sqrt(2 / math.pi) * polarizabilities / 3) ** (1 / 3)
    spreads = np.sqrt(0.5 * (widths[:, :, None] ** 2 + widths[:, None, :] ** 2))
    displacements = positions[:, :, None] - positions[:, None]
    coupling = -isolated(displacements, spreads)[2]
    atoms = np.arange(count)
    coupling[:, atoms, atoms] = np.eye(3) / polarizabilities[..., None, None]
    matrix = coupling.transpose(0, 1, 3, 2, 4).reshape(-1, 3 * count, 3 * count)
    uniform = np.broadcast_to(np.tile(np.eye(3), (count, 1)), (len(matrix), 3 * count, 3))
    tensor = np.einsum("maix->mix", np.linalg.solve(matrix, uniform).reshape(-1, count, 3, 3))
    return 0.5 * (tensor + tensor.transpose(0, 2, 1))
