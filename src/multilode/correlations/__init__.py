"""Correlations of expansion coefficients: invariants, and equivariants of any order."""

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
