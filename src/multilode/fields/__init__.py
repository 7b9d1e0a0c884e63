"""What an atom puts into the space around it: v(r) = int dt w(t) exp(-t r^2), and v^(k).

Names to know: `AbstractField`, `GaussianDensity`, `SmearedPotential`; `AbstractCutoff`.
Parameters are numbers or float64 tensors, in which all that follows is differentiable.
To add a field, write one class and a row in `FIELDS`; `check_field` holds it to its measure.
"""

from multilode.fields.cutoffs import (
    CUTOFF_FUNCTIONS,
    AbstractCutoff,
    RadialScaling,
    ShiftedCosine,
    StepCutoff,
)
from multilode.fields.field import FIELDS, AbstractField, GaussianDensity, SmearedPotential

__all__ = [
    "CUTOFF_FUNCTIONS",
    "FIELDS",
    "AbstractCutoff",
    "AbstractField",
    "GaussianDensity",
    "RadialScaling",
    "ShiftedCosine",
    "SmearedPotential",
    "StepCutoff",
]
