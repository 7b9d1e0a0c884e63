"""Expansion of fields around centers: `expand(expansion, structures, species=..., method=...)`."""

from multilode.expand.ewald_split import EwaldSplit
from multilode.expand.expansion import FieldExpansion
from multilode.expand.lattice.reciprocal_sum import ReciprocalSum
from multilode.expand.mesh.method import Mesh
from multilode.expand.pairs.pair_sum import PairSum
from multilode.expand.verb import METHODS, check_method, expand

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
