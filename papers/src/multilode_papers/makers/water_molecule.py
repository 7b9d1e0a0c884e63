"""A flexible, polarisable water molecule in vacuum.

Charges and polarizability depend on the geometry as in Hartree-Fock with the basis def2-SVPD:
least squares on 34 geometries, with residuals of 0.001 e Å and 0.01 Å³ (1 %) on others.
"""

import math

import numpy as np
from jaxtyping import Float

_LENGTH, _COSINE = 0.96, math.cos(math.radians(104.5))
# Charge of a hydrogen (e): constant, own bond, other bond (e/Å), cosine of the angle
CHARGE = (0.36124529, -0.15433502, -0.0555711, -0.06874642)
# Polarizability (Å³): constant, both bonds (Å²), along each bond, that by its length (Å²)
POLARIZABILITY = (1.11734324, 0.3512321, 0.17734722, 1.64669256)


def charges(positions: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    """Charges (e) of O, H and H that give the dipole moment.

    Args:
        positions: of O, H and H (Å).
    """
    stretch, directions = _bonds(positions)
    angle = directions[0] @ directions[1] - _COSINE
    constant, own, other, bend = CHARGE
    hydrogens = constant + own * stretch + other * stretch[::-1] + bend * angle
    return np.array([-hydrogens.sum(), *hydrogens])


def dipole(positions: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    """Dipole moment (e Å) of the charges."""
    return charges(positions) @ positions


def polarizability(positions: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """Polarizability (Å³) of the molecule, a tensor at the oxygen.

    Args:
        positions: of O, H and H (Å).
    """
    stretch, directions = _bonds(positions)
    constant, both, along, stretched = POLARIZABILITY
    bonds = np.einsum("b,bx,by->xy", along + stretched * stretch, directions, directions)
    return (constant + both * stretch.sum()) * np.eye(3) + bonds


def water(first: float, second: float, angle: float) -> Float[np.ndarray, "3 3"]:
    """Positions (Å) of O, H and H, with O at the origin and the bisector along z.

    Args:
        first, second: lengths of the bonds (Å).
        angle: between them, in degrees.
    """
    half = math.radians(angle) / 2
    one = first * np.array([math.sin(half), 0.0, math.cos(half)])
    other = second * np.array([-math.sin(half), 0.0, math.cos(half)])
    return np.array([np.zeros(3), one, other])


def _bonds(
    positions: Float[np.ndarray, "3 3"],
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2 3"]]:
    """By how much the two bonds are longer than usual (Å), and their directions."""
    bonds = positions[1:] - positions[0]
    lengths = np.linalg.norm(bonds, axis=1)
    return lengths - _LENGTH, bonds / lengths[:, None]
