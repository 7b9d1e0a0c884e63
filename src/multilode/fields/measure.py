"""Finite sums for measures over Gaussian rates, v(r) = int dt w(t) exp(-t r^2).

A mixture is a pair: rates t in 1/Å^2, and the weights with which their Gaussians are added. Both
keep the history of the parameters, so that what is summed is differentiable in them.
"""

import math
from collections.abc import Callable
from functools import cache

import torch
from jaxtyping import Float
from scipy.special import eval_legendre, roots_legendre
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from multilode.numerics.special import Parameter, number

Mixture = tuple[Float[Tensor, " _"], Float[Tensor, " _"]]  # of one length

_FEWEST_NODES = 24  # Gauss-Legendre in ln t: what a short interval needs,
_NODES_PER_UNIT = 6  # and what each unit of ln t adds
_SMALL_NODES = 16  # integrate exp(-x) over x in [0, 1] times any power to rounding
_BLOCK_ELEMENTS = 2**22  # of a temporary: 32 MiB
_CACHED_ELEMENTS = 2**15  # of a temporary that stays in cache; larger ones are paged in anew


def rate_of(smearing: Parameter) -> Parameter:
    """The rate t = 1 / 2 s^2 of a Gaussian of width s in Å; 0 for an infinite width."""
    return 0.5 / (smearing * smearing)


def width_of(rate: float) -> float:
    """The width in Å of the Gaussian exp(-t r^2); infinite for t = 0."""
    return math.inf if rate == 0 else math.sqrt(0.5 / rate)


def higher(a: Parameter, b: Parameter) -> Parameter:
    """The larger of two limits, with its history."""
    return a if number(a) >= number(b) else b


def lower(a: Parameter, b: Parameter) -> Parameter:
    """The smaller of two limits, with its history."""
    return a if number(a) < number(b) else b


def single_gaussian(
    rate: Parameter, weight: Parameter, lowest: Parameter, highest: Parameter
) -> Mixture:
    """The measure of one Gaussian, if its rate lies between the limits."""
    if not number(lowest) <= number(rate) <= number(highest):
        return nothing()
    t = torch.as_tensor(rate, dtype=torch.float64)[None]
    return t, torch.as_tensor(weight, dtype=torch.float64, device=t.device)[None]


def nothing() -> Mixture:
    """No Gaussian."""
    return torch.zeros(0, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)


def joined(first: Mixture, second: Mixture) -> Mixture:
    """The Gaussians of both."""
    if not len(second[0]):
        return first
    return torch.cat([first[0].to(second[0]), second[0]]), torch.cat(
        [first[1].to(second[1]), second[1]]
    )


def log_quadrature(
    density: Callable[[Float[Tensor, " node"]], Float[Tensor, " node"]],
    lowest: Parameter,
    highest: Parameter,
) -> Mixture:
    """Gauss-Legendre in ln t of a measure dln t density(t), to rounding for smooth densities.

    Args:
        density: t w(t), which varies slowly in ln t or dies out.
        lowest: smallest rate, above zero.
        highest: largest rate; nothing remains where it does not exceed the smallest.
    """
    span = math.log(number(highest) / number(lowest)) if number(highest) > 0 else -math.inf
    if span <= 0:
        return nothing()
    top = torch.as_tensor(highest, dtype=torch.float64)
    bottom = torch.as_tensor(lowest, dtype=torch.float64)
    device = bottom.device if top.device.type == "cpu" else top.device
    nodes, weights = _legendre(_FEWEST_NODES + math.ceil(_NODES_PER_UNIT * span))
    length = torch.log(top.to(device) / bottom.to(device))
    t = top.to(device) * torch.exp(-length * (1 - nodes.to(device)))
    return t, length * weights.to(device) * density(t)


def with_power_law(exponent: Parameter, periods: int, start: Parameter, rest: Mixture) -> Mixture:
    """Add the rates below `start` of r^-p, t^(p/2 - 1) dt / Gamma(p/2), for r^2 < 1 / start.

    A node at t = 0 carries what the average over `periods` axes has beyond the others: the factor
    (pi / t)^(periods / 2) that all of them get is pi^(periods / 2) there. Where the average
    diverges it is Hadamard's finite part; at p = periods what makes it zero on the axis itself.

    Args:
        exponent: p.
        periods: number of axes that are averaged over.
        start: the rate up to which r^-p is added.
        rest: the Gaussians above it.
    """
    start = torch.as_tensor(start, dtype=torch.float64)
    p = torch.as_tensor(exponent, dtype=torch.float64, device=start.device)
    a = 0.5 * (p - periods)
    y, moment = _power_rule(a)
    small, weight = start * y, start**a * moment / y
    # int_0^start t^(a - 1) (exp(-t rho^2) - 1) dt + the finite part of int_0^start t^(a - 1) dt
    if number(a) != 0:
        finite = start**a / a
    else:
        finite = -(rest[1] * rest[0] ** (-0.5 * periods)).sum() * torch.lgamma(0.5 * p).exp()
    t = torch.cat([start.new_zeros(1), small])
    weight = torch.cat([(finite - weight.sum())[None], weight * small ** (0.5 * periods)])
    return joined((t, weight * torch.exp(-torch.lgamma(0.5 * p))), rest)


def gaussian_sum(mixture: Mixture, r: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """sum_t w(t) exp(-t r^2)."""
    t, weight = (part.to(r) for part in mixture)
    return _summed(lambda square: torch.outer(square, -t).exp_() @ weight, r**2, t, weight)


def gaussian_waves(mixture: Mixture, k: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """sum_t w(t) (pi / t)^(3/2) exp(-k^2 / 4 t), the Fourier transform."""
    t, weight = (part.to(k) for part in mixture)
    weight = weight * (math.pi / t) ** 1.5
    rates = -0.25 / t
    return _summed(lambda square: torch.outer(square, rates).exp_() @ weight, k**2, rates, weight)


def gaussian_mean(mixture: Mixture, periods: int) -> Float[Tensor, ""]:
    """sum_t w(t) (pi / t)^(d/2), the average over d axes on the plane, line or point itself."""
    t, weight = mixture
    return (weight * (math.pi / torch.where(t == 0, 1.0, t)) ** (0.5 * periods)).sum()


def _summed(function: Callable[[Tensor], Tensor], x: Tensor, *mixture: Tensor) -> Tensor:
    """In blocks, which a backward pass computes again: each node would be a copy of x."""
    moving = torch.is_grad_enabled() and any(part.requires_grad for part in (x, *mixture))
    size = _BLOCK_ELEMENTS if moving else _CACHED_ELEMENTS
    blocks = x.reshape(-1).split(max(1, size // max(1, len(mixture[0]))))
    again = moving and len(blocks) > 1
    parts = [checkpoint(function, b, use_reentrant=False) if again else function(b) for b in blocks]
    return torch.cat(parts).reshape(x.shape)


@cache
@torch.inference_mode(mode=False)
def _legendre(count: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights on [0, 1]."""
    nodes, weights = roots_legendre(count)
    return torch.from_numpy(0.5 * (nodes + 1)), torch.from_numpy(0.5 * weights)


def _power_rule(a: Float[Tensor, ""]) -> Mixture:
    """Nodes and weights of int_0^1 y^a g(y) dy, a > -1, differentiable in a.

    Legendre moments of y^a are products: int_0^1 y^a P_n(2 y - 1) dy
    = a (a - 1) ... (a - n + 1) / ((a + 1) ... (a + n + 1)).
    """
    nodes, weights = roots_legendre(_SMALL_NODES)
    y = torch.from_numpy(0.5 * (nodes + 1)).to(a.device)
    total = torch.zeros_like(y)
    moment = 1 / (a + 1)
    for n in range(_SMALL_NODES):
        polynomial = torch.from_numpy((2 * n + 1) * 0.5 * weights * eval_legendre(n, nodes)).to(y)
        total = total + polynomial * moment
        moment = moment * (a - n) / (a + n + 2)
    return y, total
