"""Correlations of expansion coefficients: invariants, and equivariants of any order."""

from multilode.correlations.invariants import (
    one_point,
    one_point_labels,
    power_spectrum,
    power_spectrum_labels,
)

__all__ = [
    "one_point",
    "one_point_labels",
    "power_spectrum",
    "power_spectrum_labels",
]
