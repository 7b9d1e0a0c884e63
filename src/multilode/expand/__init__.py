"""Expansion of fields around centers: `expand(expansion, structures, species=..., method=...)`."""

from multilode.expand.expansion import FieldExpansion
from multilode.expand.pair_sum import PairSum
from multilode.expand.reciprocal_sum import ReciprocalSum
from multilode.expand.verb import METHODS, expand

__all__ = ["METHODS", "FieldExpansion", "PairSum", "ReciprocalSum", "expand"]
