"""Accuracy of an expansion: as asked for, and as the floating-point type resolves it."""

import math

import torch
from jaxtyping import Bool
from torch import Tensor

from multilode.fields import AbstractField
from multilode.radial.tables import check_tolerance

# What is taken where nothing is asked for, and the smallest that can be asked for: sums over
# hundreds of terms and derivatives of fourth order lose two digits of single precision
DEFAULT_TOLERANCES = {torch.float64: 1e-8, torch.float32: 1e-4}
_SMALLEST = {torch.float64: 1e-12, torch.float32: 1e-5}


# Contributions of a charged layer add coherently: its long waves dominate coefficients of high l
_IN_PHASE = 0.1
_SLOWEST_SUMMABLE = 3.0  # exponents from which lattice sums converge; screening may set in late


def check_own_tolerance(tolerance: object) -> None:
    """Check the tolerance of a method: a number in range, or None for that of the problem.

    Raises:
        TypeError: if it is neither a number nor None.
        ValueError: if it is out of range.
    """
    if tolerance is not None:
        check_tolerance(tolerance)


def resolved_tolerance(tolerance: float | None, dtype: torch.dtype) -> float:
    """The tolerance to work with.

    Source: theory#tolerance.

    Args:
        tolerance: the given one; None: 1e-8 in double and 1e-4 in single precision.
        dtype: floating-point type of the structures.

    Raises:
        ValueError: if it is out of range, or finer than the type resolves.
    """
    if tolerance is None:
        return DEFAULT_TOLERANCES.get(dtype, 1e-4)
    check_tolerance(tolerance)
    smallest = _SMALLEST.get(dtype, 1e-5)
    if tolerance < smallest:
        raise ValueError(
            f"tolerance is {tolerance:g}, but the structures are {dtype}, which resolves "
            f"{smallest:g}; ask for that, or use Structures.to(dtype=torch.float64)"
        )
    return tolerance


def wave_tolerance(
    tolerance: float, field: AbstractField, pbc: Bool[Tensor, "*structure 3"]
) -> float:
    """The tolerance of sums over waves: finer for long-ranged fields of layers, wires, molecules.

    Args:
        tolerance: of the coefficients.
        field: whose waves are summed.
        pbc: periodicity of all that are summed together.
    """
    summable = math.isfinite(field.widest) or _SLOWEST_SUMMABLE <= field.decay < math.inf
    if summable or bool(pbc.all()):
        return tolerance
    return max(_IN_PHASE * tolerance, _SMALLEST[torch.float64])
