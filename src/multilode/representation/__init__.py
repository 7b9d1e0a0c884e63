"""One recipe from structures to features: fields on bases, multiplied into rho^nu x V^nu'.

Names to know: `Representation`, `FieldSet` (fields without products), `feature_batches`.
A recipe is a frozen value; species and centers are those of the training set.
Products that are contracted keep their maps here, fitted to the training set.
"""

from multilode.representation.abstract import AbstractRepresentation
from multilode.representation.basis_optimization import optimized_basis
from multilode.representation.batches import feature_batches
from multilode.representation.field_set import FieldSet
from multilode.representation.representation import Representation

REPRESENTATIONS: dict[str, type[AbstractRepresentation]] = {
    "products": Representation,
    "fields": FieldSet,
}

__all__ = [
    "REPRESENTATIONS",
    "AbstractRepresentation",
    "FieldSet",
    "Representation",
    "feature_batches",
    "optimized_basis",
]
