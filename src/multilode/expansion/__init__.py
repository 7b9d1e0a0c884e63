"""Expansion of fields around centers: `expand(expansion, structures, species=..., method=...)`."""

from multilode.expansion.ewald_split import EwaldSplit
from multilode.expansion.expansion import FieldExpansion
from multilode.expansion.lattice.reciprocal_sum import ReciprocalSum
from multilode.expansion.mesh.method import Mesh
from multilode.expansion.pairs.pair_sum import PairSum
from multilode.expansion.verb import METHODS, check_method, expand

__all__ = [
    "METHODS",
    "EwaldSplit",
    "FieldExpansion",
    "Mesh",
    "PairSum",
    "ReciprocalSum",
    "check_method",
    "expand",
]
