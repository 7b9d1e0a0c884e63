"""Symmetrised correlations rho^nu x V^nu' of fields around centers, coupled to irreps of O(3).

Names to know: `power_spectrum` (invariants of order two), `correlate` (any order, degree and
parity), `FieldChannels` (fewer coefficients before products), `fit_contraction` (fewer features
after each).
Features are labelled by the channels of their factors. A new way to choose features is one function
in `selection.py`.
"""

from multilode.correlations.channels import FieldChannels
from multilode.correlations.contraction import (
    SELECTIONS,
    Contraction,
    ContractionSettings,
    Kept,
)
from multilode.correlations.equivariant_spectrum import equivariant_power_spectrum
from multilode.correlations.invariants import (
    one_point,
    one_point_labels,
    power_spectrum,
    power_spectrum_labels,
)
from multilode.correlations.plan import reachable_irreps
from multilode.correlations.recursion import correlate, fit_contraction

__all__ = [
    "SELECTIONS",
    "Contraction",
    "ContractionSettings",
    "FieldChannels",
    "Kept",
    "correlate",
    "equivariant_power_spectrum",
    "fit_contraction",
    "one_point",
    "one_point_labels",
    "power_spectrum",
    "power_spectrum_labels",
    "reachable_irreps",
]
