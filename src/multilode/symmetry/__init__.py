"""O(3): real spherical harmonics Y_lm, rotations D^l, and how products couple, (l1 x l2) -> l.

Names to know: `Irrep` (degree, parity), `spherical_harmonics`, `coupling_matrix`, `TENSORS`.
Conventions of signs and order of m are in `docs/theory.md`; everything is closed-form float64.
To add a kind of Cartesian tensor, write a row in `cartesian.py`.
"""

from multilode.symmetry.cartesian import TENSORS, TensorKind, tensor_kind
from multilode.symmetry.coupling import clebsch_gordan
from multilode.symmetry.harmonics import spherical_harmonics
from multilode.symmetry.irrep import Irrep, irrep_name
from multilode.symmetry.wigner import wigner_d

__all__ = [
    "TENSORS",
    "Irrep",
    "TensorKind",
    "clebsch_gordan",
    "irrep_name",
    "spherical_harmonics",
    "tensor_kind",
    "wigner_d",
]
