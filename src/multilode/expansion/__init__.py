"""Expansion of fields around centers, <a n l m | f_i> = integral R_n Y_lm (f_a around atom i).

`expand(FieldExpansion(field, basis, max_angular), structures, species=..., method=...)` is the
verb, with `strengths=` of atoms for channels that are no species; `PairSum`, `ReciprocalSum`,
`EwaldSplit` and `Mesh` are the methods, "auto" the cheapest.
To add a method: one class after `AbstractMethod`, which solves a `Problem`, in a file of its own,
and its row in `METHODS` (`table.py`); `multilode.testing.check_method` checks it.
"""

from multilode.expansion.costs import COSTS, DERIVATIVE_COSTS, Costs, costs_path
from multilode.expansion.ewald_split import EwaldSplit
from multilode.expansion.expansion import FieldExpansion
from multilode.expansion.lattice.reciprocal_sum import ReciprocalSum
from multilode.expansion.mesh.method import Mesh
from multilode.expansion.method import AbstractMethod, Estimate, Workload
from multilode.expansion.pairs.pair_sum import PairSum
from multilode.expansion.problem import Problem
from multilode.expansion.table import METHODS, check_method
from multilode.expansion.verb import expand

__all__ = [
    "COSTS",
    "DERIVATIVE_COSTS",
    "METHODS",
    "AbstractMethod",
    "Costs",
    "Estimate",
    "EwaldSplit",
    "FieldExpansion",
    "Mesh",
    "PairSum",
    "Problem",
    "ReciprocalSum",
    "Workload",
    "check_method",
    "costs_path",
    "expand",
]
