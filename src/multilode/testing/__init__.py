"""Checks that classes of your own must pass, before you add them to their tables.

Each raises AssertionError with the numbers that disagree: `check_field`, `check_radial_basis`,
`check_cutoff_function`, `check_method`, `check_sources`, `check_kernel`, `check_estimator`,
`check_target`, and `check_equivariance` for functions that rotate with their structures.
`check_calculator` does so for any calculator of ASE, of this package or not.
"""

from multilode.testing.calculators import CALCULATOR_CHECKS, Outcome, check_calculator
from multilode.testing.expansions import (
    check_cutoff_function,
    check_equivariance,
    check_method,
    check_tensor_equivariance,
)
from multilode.testing.fields import check_field
from multilode.testing.radial import check_radial_basis
from multilode.testing.regressions import check_estimator, check_kernel, check_target
from multilode.testing.sources import check_sources

__all__ = [
    "CALCULATOR_CHECKS",
    "Outcome",
    "check_calculator",
    "check_cutoff_function",
    "check_equivariance",
    "check_estimator",
    "check_field",
    "check_kernel",
    "check_method",
    "check_radial_basis",
    "check_sources",
    "check_target",
    "check_tensor_equivariance",
]
