"""Dipoles and polarizabilities of molecules from Hartree-Fock in weak uniform fields."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from multilode_papers.makers.engines import EngineError, hartree_fock

_TOLERANCE = 1e-10  # Hartree; dipoles are less accurate than energies
STRENGTH = 0.002  # atomic units; the error is of second order in it


def dipole_and_polarizability(
    species: Int[np.ndarray, " atom"],
    positions: Float[np.ndarray, "atom 3"],
    *,
    charge: int = 0,
    basis: str = "def2-svpd",
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3 3"]]:
    """Dipole moment and static polarizability of a molecule, in atomic units.

    The polarizability is the central difference of the dipole moment in six fields.

    Args:
        species: atomic numbers.
        positions: in Å; the dipole moment of an ion refers to their origin.
        charge: in elementary charges.
        basis: name of the basis set.

    Raises:
        EngineError: if PySCF is not installed or an energy does not converge.
    """
    free = hartree_fock(species, positions, charge, basis=basis, tolerance=_TOLERANCE)
    with free.mol.with_common_orig((0, 0, 0)):
        integrals = free.mol.intor("int1e_r")
    density, core = free.make_rdm1(), free.get_hcore()
    nuclei = free.mol.atom_charges() @ free.mol.atom_coords()

    def dipole(matrix: np.ndarray) -> np.ndarray:
        return nuclei - np.einsum("xij,ji->x", integrals, matrix)

    rows = []
    for axis in range(3):
        up, down = (
            dipole(_in_field(free, core + sign * STRENGTH * integrals[axis], density))
            for sign in (1.0, -1.0)
        )
        rows.append((up - down) / (2 * STRENGTH))
    tensor = np.array(rows)
    return dipole(density), 0.5 * (tensor + tensor.T)


def _in_field(free: Any, core: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Density matrix for another one-electron energy; the other integrals are those of `free`.

    Raises:
        EngineError: if the energy does not converge.
    """
    inside = free.copy()
    inside.conv_tol = _TOLERANCE
    inside.get_hcore = lambda *_: core
    inside.kernel(dm0=density)
    if not inside.converged:
        raise EngineError(f"Hartree-Fock of {free.mol.natm} atoms in a field did not converge")
    return inside.make_rdm1()
