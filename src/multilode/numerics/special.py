"""Special functions of the fields, differentiable in their parameters as well."""

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import zeta
from torch import Tensor

Parameter = float | Float[Tensor, ""]  # a tensor where its derivative may be asked for

_SWITCH = 2.0  # power series below, continued fraction above; both give full precision there
_SERIES_TERMS = 30
_CLOSED_FORM = 6  # largest -order of a finite sum
_FRACTION_TERMS = 60
_LOWER_SWITCH = 12.0
_LOWER_TERMS = 64
_MOMENT_NODES = 96
_MOMENT_REACH = 50.0  # exp(-50) is nothing, times any power that occurs


@cache
def gauss_legendre(count: int) -> tuple[list[float], list[float]]:
    """Nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (0.5 * (nodes + 1)).tolist(), (0.5 * weights).tolist()


def number(value: Parameter) -> float:
    """The value alone, without history."""
    return float(value.detach()) if isinstance(value, Tensor) else float(value)


def gamma(a: Parameter) -> Parameter:
    """Gamma(a) for a > 0."""
    return torch.lgamma(a).exp() if isinstance(a, Tensor) else math.gamma(a)


def generalized_exponential_integral(
    order: Parameter, x: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """E_order(x), the integral of exp(-x w) / w^order over w from 1 to infinity, for x > 0.

    Equal to x^(order - 1) Gamma(1 - order, x), and free of the cancellation and of the poles at
    integer orders from which that form suffers. Differentiable to any order, in x because
    dE_order/dx = -E_(order - 1), and in the order if that is a tensor.

    Source: theory#exponential-integral.

    Args:
        order: any real number.
        x: positive arguments. At x = 0 only orders above 1 are finite.
    """
    return _ExponentialIntegral.apply(x, order, 0)


class _ExponentialIntegral(torch.autograd.Function):
    """The integral of exp(-x w) (-ln w)^power / w^order: closed under both derivatives."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Parameter, power: int) -> Tensor:
        ctx.save_for_backward(x, *([order] if isinstance(order, Tensor) else []))
        ctx.order, ctx.power = order if not isinstance(order, Tensor) else None, power
        if power:
            return _logarithmic_moment(number(order), x, power)
        return _evaluate(number(order), x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (grad,) = grad_outputs
        x, *rest = ctx.saved_tensors
        order = rest[0] if rest else ctx.order
        in_x = in_order = None
        if ctx.needs_input_grad[0]:
            in_x = -grad * _ExponentialIntegral.apply(x, order - 1, ctx.power)
        if ctx.needs_input_grad[1]:
            in_order = (grad * _ExponentialIntegral.apply(x, order, ctx.power + 1)).sum()
        return in_x, in_order, None


def _logarithmic_moment(order: float, x: Tensor, power: int) -> Tensor:
    """By quadrature in y = ln w, as far as the integrand reaches at each x.

    It reaches to where x w = 50, and for orders above 1 not beyond w^(1 - order) = exp(-50).
    """
    reach = torch.log1p(_MOMENT_REACH / x)
    if order > 1:
        reach = reach.clamp(max=_MOMENT_REACH / (order - 1))
    total = torch.zeros_like(x)
    for node, weight in zip(*gauss_legendre(_MOMENT_NODES), strict=True):
        y = node * reach
        total += weight * y**power * torch.exp((1 - order) * y - x * torch.expm1(y))
    return (-1) ** power * total * reach * torch.exp(-x)


def lower_gamma_ratio(a: Float[Tensor, ""], x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """gamma(a, x) / (Gamma(a) x^a) for x >= 0 and 0 < a <= 10, differentiable also in a.

    By its series of positive terms, and beyond x = 12 from E_(1-a)(x), where little cancels.
    """
    small = x.clamp(max=_LOWER_SWITCH)
    term = torch.exp(-small - torch.lgamma(a + 1))
    total = term
    for n in range(1, _LOWER_TERMS):
        term = term * small / (a + n)
        total = total + term
    large = x.clamp(min=_LOWER_SWITCH)
    tail = large**-a - generalized_exponential_integral(1 - a, large) / gamma(a)
    return torch.where(x <= _LOWER_SWITCH, total, tail)


def _evaluate(order: float, x: Tensor) -> Tensor:
    if order <= 0 and order == round(order) and order >= -_CLOSED_FORM:
        return _finite_sum(round(-order), x)
    if order <= 0.5:
        a = torch.tensor(1 - order, dtype=x.dtype, device=x.device)
        return torch.special.gammaincc(a, x) * math.gamma(1 - order) * x ** (order - 1)
    small = _recur_up(order, x.clamp(torch.finfo(x.dtype).tiny, _SWITCH))
    large = _continued_fraction(order, x.clamp(min=_SWITCH))
    return torch.where(x <= _SWITCH, small, large)


def _finite_sum(n: int, x: Tensor) -> Tensor:
    """E_(-n)(x) = exp(-x) / x (1 + n / x (1 + (n - 1) / x (...))), of positive terms."""
    inverse = 1 / x
    total = torch.ones_like(x)
    for k in range(1, n + 1):
        total = 1 + k * inverse * total
    return torch.exp(-x) * inverse * total


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
