"""Special functions that the reciprocal-space kernels need."""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import zeta
from torch import Tensor

_SWITCH = 2.0  # power series below, continued fraction above; both give full precision there
_SERIES_TERMS = 30
_FRACTION_TERMS = 60


def generalized_exponential_integral(
    order: float, x: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """E_order(x), the integral of exp(-x w) / w^order over w from 1 to infinity, for x > 0.

    Equal to x^(order - 1) Gamma(1 - order, x), and free of the cancellation and of the poles at
    integer orders from which that form suffers. Differentiable in x to any order, because
    dE_order/dx = -E_(order - 1).

    Args:
        order: any real number.
        x: positive arguments. At x = 0 only orders above 1 are finite.
    """
    return _ExponentialIntegral.apply(x, order)


class _ExponentialIntegral(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, order: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.order = order
        return _evaluate(order, x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return -grad * generalized_exponential_integral(ctx.order - 1, x), None


def _evaluate(order: float, x: Tensor) -> Tensor:
    if order == 0:
        return torch.exp(-x) / x
    if order <= 0.5:
        a = torch.tensor(1 - order, dtype=x.dtype, device=x.device)
        return torch.special.gammaincc(a, x) * math.gamma(1 - order) * x ** (order - 1)
    small = _recur_up(order, x.clamp(torch.finfo(x.dtype).tiny, _SWITCH))
    large = _continued_fraction(order, x.clamp(min=_SWITCH))
    return torch.where(x <= _SWITCH, small, large)


def _recur_up(order: float, x: Tensor) -> Tensor:
    """Series at an order in (0.5, 1.5], then E_(q+1) = (exp(-x) - x E_q) / q; for small x."""
    steps = max(0, math.ceil(order - 1.5))
    start = order - steps
    value = _series(1 - start, x)
    for step in range(steps):
        value = (torch.exp(-x) - x * value) / (start + step)
    return value


def _series(a: float, x: Tensor) -> Tensor:
    """x^-a Gamma(a, x) for |a| <= 1/2, with the pole at a = 0 taken out analytically."""
    log_x = torch.log(x)
    if a == 0:
        leading = -np.euler_gamma - log_x
    else:
        leading = x**-a * (_gamma_1p_minus_1(a) - torch.expm1(a * log_x)) / a
    term, total = torch.ones_like(x), torch.zeros_like(x)
    for n in range(1, _SERIES_TERMS):
        term = term * (-x / n)
        total = total + term / (a + n)
    return leading - total


def _gamma_1p_minus_1(a: float) -> float:
    """Gamma(1 + a) - 1 without cancellation for |a| <= 1/2."""
    orders = np.arange(2, 60)
    log_gamma = -np.euler_gamma * a + float(np.sum(zeta(orders) * (-a) ** orders / orders))
    return math.expm1(log_gamma)


def _continued_fraction(order: float, x: Tensor) -> Tensor:
    """Modified Lentz evaluation with a fixed number of terms: no data-dependent loop on a GPU."""
    b = x + order
    c = torch.full_like(x, 1e30)
    d = 1 / b
    value = d
    for i in range(1, _FRACTION_TERMS):
        a = -i * (order - 1 + i)
        b = b + 2
        d = 1 / (a * d + b)
        c = b + a / c
        value = value * (c * d)
    return value * torch.exp(-x)
