"""Windows of a parameter in which tables are interpolated, and so differentiable in it.

The nodes depend on which cell of a fixed grid the parameter lies in, not on its value, so that an
optimiser that moves it meets the same tables again.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.fields import ParameterRange
from multilode.numerics.chebyshev import ChebyshevSeries
from multilode.numerics.special import Parameter, number

_COUNT = 9  # nodes; each one gains two digits or more over windows of the width that ranges have


@final
@dataclass(frozen=True)
class ParameterWindow:
    """Polynomial interpolation in a parameter, or its logarithm, between Chebyshev nodes.

    Args:
        lower: left end of the interval.
        upper: right end of the interval.
        logarithmic: whether these are logarithms.
    """

    lower: float
    upper: float
    logarithmic: bool = False

    @property
    def smallest(self) -> float:
        """Smallest value of the parameter."""
        return math.exp(self.lower) if self.logarithmic else self.lower

    @property
    def largest(self) -> float:
        """Largest value of the parameter."""
        return math.exp(self.upper) if self.logarithmic else self.upper

    @property
    def nodes(self) -> tuple[float, ...]:
        """Values of the parameter at which tables are needed."""
        half = 0.5 * (self.upper - self.lower)
        angles = [math.pi * (i + 0.5) / _COUNT for i in range(_COUNT)]
        places = (self.lower + half * (1 + math.cos(angle)) for angle in angles)
        return tuple(math.exp(x) if self.logarithmic else x for x in places)

    def lagrange(self, values: Float[Tensor, " point"]) -> Float[Tensor, "point node"]:
        """Lagrange polynomials of the nodes at values, differentiable to any order."""
        x = torch.log(values) if self.logarithmic else values
        return ChebyshevSeries(_transform(), self.lower, self.upper)(x)


@cache
@torch.inference_mode(mode=False)
def _transform() -> Float[Tensor, "k node"]:
    """Chebyshev coefficients of the Lagrange polynomials."""
    angles = torch.pi * (torch.arange(_COUNT, dtype=torch.float64) + 0.5) / _COUNT
    transform = torch.cos(torch.arange(_COUNT)[:, None] * angles) * (2 / _COUNT)
    transform[0] /= 2
    return transform


def window(allowed: ParameterRange, value: Parameter) -> ParameterWindow:
    """The window of a parameter's range in which a value lies; fields are analytic in it."""
    forward = math.log if allowed.logarithmic else float
    center = round(forward(number(value)) / allowed.step) * allowed.step
    lower, upper = center - allowed.step / 2, center + allowed.step / 2
    return ParameterWindow(
        max(lower, forward(allowed.lowest)),
        min(upper, forward(allowed.highest)),
        allowed.logarithmic,
    )


def smearing_window(allowed: ParameterRange, smearing: Parameter) -> ParameterWindow:
    """The same for a smearing, in ln t of t = 1 / 2 s^2."""
    widths = window(allowed, smearing)
    return ParameterWindow(
        -math.log(2) - 2 * widths.upper, -math.log(2) - 2 * widths.lower, logarithmic=True
    )
