"""Smooth functions of one variable as Chebyshev series: tabulated once, evaluated as a product.

A series needs no search for an interval and no gather, has derivatives of every order that are
exactly those of the interpolant, and its last coefficients measure its error.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from numpy.polynomial import chebyshev
from torch import Tensor

_FIRST_DEGREE = 64
_LAST_DEGREE = 4096


@final
@dataclass(frozen=True)
class ChebyshevSeries:
    """A vector-valued function on [lower, upper].

    Args:
        coefficients: of T_k, one column per channel.
        lower: left end of the interval.
        upper: right end of the interval.
    """

    coefficients: Float[Tensor, "k channel"]
    lower: float
    upper: float

    def __call__(self, x: Float[Tensor, " point"]) -> Float[Tensor, "point channel"]:
        """Values at x, differentiable in x to any order; valid inside of the interval only."""
        scale = 2 / (self.upper - self.lower)
        t = (x - self.lower) * scale - 1
        return _Evaluate.apply(t, self.coefficients.to(dtype=x.dtype, device=x.device))


def fit_chebyshev(
    function: Callable[[np.ndarray], np.ndarray], lower: float, upper: float, tolerance: float
) -> ChebyshevSeries:
    """Interpolate to a relative accuracy, adding terms until the coefficients have died away.

    Args:
        function: maps points [point] to values [point, channel], float64.
        lower: left end of the interval.
        upper: right end of the interval.
        tolerance: largest neglected coefficient relative to the largest value of its channel.

    Raises:
        ValueError: if 4096 terms do not reach the tolerance.
    """
    degree = _FIRST_DEGREE
    while degree <= _LAST_DEGREE:
        nodes = np.cos(np.pi * (np.arange(degree) + 0.5) / degree)
        values = function((nodes + 1) * (upper - lower) / 2 + lower)
        coefficients = chebyshev.chebvander(nodes, degree - 1).T @ values * (2 / degree)
        coefficients[0] /= 2
        scale = np.abs(values).max(axis=0)
        size = (np.abs(coefficients) / np.where(scale > 0, scale, 1)).max(axis=1)
        if size[-degree // 8 :].max() < tolerance:
            kept = int(np.nonzero(size >= tolerance / 3)[0].max(initial=0)) + 1
            return ChebyshevSeries(torch.from_numpy(coefficients[:kept].copy()), lower, upper)
        degree *= 2
    raise ValueError(
        f"a radial integral is not resolved to {tolerance:.0e} by {_LAST_DEGREE} Chebyshev terms; "
        "use a larger smearing or a larger tolerance"
    )


class _Evaluate(torch.autograd.Function):
    """Sum_k c_k T_k(t); its derivative is another such sum, so every order is available."""

    @staticmethod
    def forward(ctx: Any, t: Tensor, coefficients: Tensor) -> Tensor:
        ctx.save_for_backward(t, coefficients)
        return _polynomials(t, len(coefficients)).T @ coefficients

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        t, coefficients = ctx.saved_tensors
        matrix = _derivative_matrix(len(coefficients)).to(coefficients)
        slope = _Evaluate.apply(t, matrix @ coefficients)
        return (grad * slope).sum(dim=1), None


def _polynomials(t: Tensor, count: int) -> Float[Tensor, "k point"]:
    """T_0 ... T_(count-1), doubling the known ones: T_(m+j) = 2 T_m T_j - T_(m-j)."""
    table = t.new_empty((count, len(t)))
    table[0] = 1
    if count > 1:
        table[1] = t
    m = 1
    while m + 1 < count:
        top = min(2 * m, count - 1)
        rows = table[1 : top - m + 1]
        block = table[m + 1 : top + 1]
        torch.mul(rows, 2 * table[m], out=block)
        block -= table[2 * m - top : m].flip(0)
        m = top
    return table


@cache
@torch.inference_mode(mode=False)
def _derivative_matrix(count: int) -> Float[Tensor, "k k"]:
    """Coefficients of the derivative from those of the function."""
    matrix = np.zeros((count, count))
    for k in range(count):
        unit = np.zeros(count)
        unit[k] = 1
        slope = chebyshev.chebder(unit) if count > 1 else np.zeros(1)
        matrix[: len(slope), k] = slope
    return torch.from_numpy(matrix)
