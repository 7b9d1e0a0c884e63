"""Fields around atoms: v(r) = int dt w(t) exp(-t r^2), and their transforms v^(k).

Names to know: `AbstractField` (its docstring is the contract), the fields in `FIELDS`, `between`.
Parameters are numbers or float64 tensors, in which all that follows is differentiable.
To add a field, write one class with its measure (`log_quadrature` makes one of a function of t) and
a row in `FIELDS`; `multilode.testing.check_field` checks it.
"""

from multilode.fields.band import between
from multilode.fields.cutoffs import (
    CUTOFF_FUNCTIONS,
    AbstractCutoff,
    RadialScaling,
    ShiftedCosine,
    StepCutoff,
)
from multilode.fields.field import (
    AbstractField,
    ClosedForms,
    ParameterRange,
    check_parameters,
)
from multilode.fields.gaussian_density import GaussianDensity
from multilode.fields.measure import Mixture, higher, log_quadrature, lower, rate_of
from multilode.fields.smeared_potential import SmearedPotential
from multilode.fields.yukawa_potential import YukawaPotential

FIELDS: dict[str, type[AbstractField]] = {
    "density": GaussianDensity,
    "potential": SmearedPotential,
    "yukawa": YukawaPotential,
}

__all__ = [
    "CUTOFF_FUNCTIONS",
    "FIELDS",
    "AbstractCutoff",
    "AbstractField",
    "ClosedForms",
    "GaussianDensity",
    "Mixture",
    "ParameterRange",
    "RadialScaling",
    "ShiftedCosine",
    "SmearedPotential",
    "StepCutoff",
    "YukawaPotential",
    "between",
    "check_parameters",
    "higher",
    "log_quadrature",
    "lower",
    "rate_of",
]
