"""One recipe from structures to features: fields on bases, multiplied into rho^nu x V^nu'.

Names to know: `Representation`, `feature_batches`, `optimized_basis`.
A recipe is a frozen value; species and centers are those of the training set.
Products that are contracted keep their maps here, fitted to the training set.
"""

from multilode.representation.basis_optimization import optimized_basis
from multilode.representation.batches import feature_batches
from multilode.representation.representation import Representation

__all__ = ["Representation", "feature_batches", "optimized_basis"]
