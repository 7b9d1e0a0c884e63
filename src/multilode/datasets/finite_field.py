"""Dipoles and polarizabilities of molecules from Hartree-Fock in weak uniform fields."""

import numpy as np
from jaxtyping import Float, Int

from multilode.datasets.engines import hartree_fock

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
    free = hartree_fock(species, positions, charge, basis=basis)
    density = free.make_rdm1()
    rows = []
    for axis in range(3):
        ends = []
        for sign in (1.0, -1.0):
            field = [0.0, 0.0, 0.0]
            field[axis] = sign * STRENGTH
            inside = hartree_fock(
                species,
                positions,
                charge,
                basis=basis,
                density=density,
                field=(field[0], field[1], field[2]),
            )
            ends.append(_dipole(inside))
        rows.append((ends[0] - ends[1]) / (2 * STRENGTH))
    tensor = np.array(rows)
    return _dipole(free), 0.5 * (tensor + tensor.T)


def _dipole(calculation: object) -> Float[np.ndarray, "3"]:
    """Nuclear and electronic dipole about the origin; the field's energy is no part of it."""
    molecule = calculation.mol
    with molecule.with_common_orig((0, 0, 0)):
        integrals = molecule.intor("int1e_r")
    electrons = np.einsum("xij,ji->x", integrals, calculation.make_rdm1())
    return molecule.atom_charges() @ molecule.atom_coords() - electrons
