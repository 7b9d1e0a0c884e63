"""Tables that are differentiable in a parameter: interpolated between nodes of a small window.

The nodes depend on which cell of a fixed grid the parameter lies in, not on its value, so that an
optimiser that moves it meets the same tables again.
"""

import math
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.fields.field import (
    LARGEST_EXPONENT,
    LARGEST_SMEARING,
    SMALLEST_EXPONENT,
    SMALLEST_SMEARING,
)

_LOG_SPACING = 0.05  # of windows in ln(smearing)
_EXPONENT_SPACING = 0.1
_COUNT = 9  # nodes; each one gains two digits or more over windows of this width


@final
@dataclass(frozen=True)
class ParameterWindow:
    """Polynomial interpolation in one parameter between Chebyshev nodes.

    Args:
        lower: left end of the interval.
        upper: right end of the interval.
    """

    lower: float
    upper: float

    @property
    def nodes(self) -> tuple[float, ...]:
        """Where tables are needed."""
        half = 0.5 * (self.upper - self.lower)
        angles = [math.pi * (i + 0.5) / _COUNT for i in range(_COUNT)]
        return tuple(self.lower + half * (1 + math.cos(angle)) for angle in angles)

    def lagrange(self, x: Float[Tensor, " point"]) -> Float[Tensor, "point node"]:
        """Lagrange polynomials of the nodes at x, differentiable to any order."""
        angles = torch.pi * (torch.arange(_COUNT, dtype=x.dtype, device=x.device) + 0.5) / _COUNT
        order = torch.arange(_COUNT, dtype=x.dtype, device=x.device)
        transform = torch.cos(order[:, None] * angles) * (2 / _COUNT)
        transform[0] /= 2
        t = (2 * x - self.lower - self.upper) / (self.upper - self.lower)
        return chebyshev_polynomials(t, _COUNT).T @ transform


def smearing_window(smearing: float) -> tuple[float, float]:
    """Smallest and largest smearing of the window in which a smearing lies."""
    center = round(math.log(smearing) / _LOG_SPACING) * _LOG_SPACING
    lower, upper = (math.exp(center + sign * _LOG_SPACING / 2) for sign in (-1, 1))
    return max(lower, SMALLEST_SMEARING), min(upper, LARGEST_SMEARING)


def exponent_window(exponent: float) -> ParameterWindow:
    """The window in which an exponent lies; the profile is an entire function of it."""
    center = round(exponent / _EXPONENT_SPACING) * _EXPONENT_SPACING
    lower, upper = (center + sign * _EXPONENT_SPACING / 2 for sign in (-1, 1))
    return ParameterWindow(max(lower, SMALLEST_EXPONENT), min(upper, LARGEST_EXPONENT))


@final
@dataclass(frozen=True, eq=False)
class MixedSeries:
    """A Chebyshev series whose coefficients are mixed from those at the nodes.

    Args:
        coefficients: of T_k, one column per channel, with the history of the parameters.
        lower: left end of the interval.
        upper: right end of the interval.
    """

    coefficients: Float[Tensor, "k channel"]
    lower: float
    upper: float

    def __call__(self, x: Float[Tensor, " point"]) -> Float[Tensor, "point channel"]:
        """Values at x, differentiable in x and in the coefficients to any order."""
        t = (2 * x - self.lower - self.upper) / (self.upper - self.lower)
        coefficients = self.coefficients.to(dtype=x.dtype, device=x.device)
        return chebyshev_polynomials(t, len(coefficients)).T @ coefficients


def chebyshev_polynomials(t: Float[Tensor, " point"], count: int) -> Float[Tensor, "k point"]:
    """T_0 ... T_(count-1) on [-1, 1], differentiable to any order."""
    return _Polynomials.apply(t, count)


class _Polynomials(torch.autograd.Function):
    """Their derivatives are polynomials of the same set: T_k' = 2 k (T_(k-1) + T_(k-3) + ...)."""

    @staticmethod
    def forward(ctx: Any, t: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(t)
        table = t.new_empty((count, len(t)))
        table[0] = 1
        if count > 1:
            table[1] = t
        twice = 2 * t
        for k in range(2, count):
            torch.mul(twice, table[k - 1], out=table[k])
            table[k] -= table[k - 2]
        return table

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (t,) = ctx.saved_tensors
        count = len(grad)
        k = torch.arange(count, device=t.device)
        lower, upper = k[:, None], k[None, :]
        links = (upper > lower) & ((upper - lower) % 2 == 1)
        slopes = links * upper * torch.where(lower == 0, 1, 2)  # dT_upper/dt = sum slopes T_lower
        return (_Polynomials.apply(t, count) * (slopes.to(grad.dtype) @ grad)).sum(dim=0), None
