"""Radial functions R_n(r), orthonormal with weight r^2, and tables of their integrals with fields.

Names to know: `AbstractRadialBasis`, `orthonormalize`, `real_table`, `reciprocal_table`.
Tables are Chebyshev series in r or k, exact to a tolerance, and kept for the next call.
To add a basis, write one class with `support` and `primitives` and a row in `RADIAL_BASES`;
`multilode.testing.check_radial_basis` checks it.
"""

from multilode.radial.basis import AbstractRadialBasis, check_size
from multilode.radial.gaussian_type_orbitals import GaussianTypeOrbitals
from multilode.radial.laplacian_eigenstates import LaplacianEigenstates
from multilode.radial.monomials import Monomials
from multilode.radial.orthonormal import orthonormalize
from multilode.radial.tabulated import TabulatedBasis

RADIAL_BASES: dict[str, type[AbstractRadialBasis]] = {
    "gto": GaussianTypeOrbitals,
    "monomial": Monomials,
    "laplacian": LaplacianEigenstates,
    "tabulated": TabulatedBasis,
}

__all__ = [
    "RADIAL_BASES",
    "AbstractRadialBasis",
    "GaussianTypeOrbitals",
    "LaplacianEigenstates",
    "Monomials",
    "TabulatedBasis",
    "check_size",
    "orthonormalize",
]
