"""Radial integrals of fields with basis functions, tabulated once to a requested accuracy.

Both tables hold all (l, n) channels, l major, and are differentiable to any order, also in the
parameters of the field where those are tensors that ask for it.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from numbers import Real
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multilode.fields.field import AbstractField, GaussianDensity, frozen, trainable
from multilode.numerics.chebyshev import ChebyshevSeries, fit_chebyshev
from multilode.numerics.special import Parameter, number
from multilode.radial.bases import AbstractRadialBasis, RadialFunctions, orthonormalize
from multilode.radial.parametric_series import (
    MixedSeries,
    ParameterWindow,
    exponent_window,
    smearing_window,
)
from multilode.radial.quadratures import REACH, bessel_integrals, overlap_integrals

_TOLERANCES = (1e-12, 1e-2)  # what double precision can resolve, and what is still worth a name
_RESOLUTION = 3.3  # over the width: radial nodes closer than 0.8 widths resolve a Gaussian to 1e-13
_REACH_POINTS = 600
_DENSE = 0.1  # atoms per Å^3, as in water or a metal


def check_tolerance(tolerance: object) -> None:
    """Check that radial integrals can be tabulated to this relative accuracy.

    Raises:
        TypeError: if it is no number.
        ValueError: if it is out of range.
    """
    low, high = _TOLERANCES
    if isinstance(tolerance, bool) or not isinstance(tolerance, Real):
        raise TypeError(
            f"tolerance is {tolerance!r}; give a number between {low:g} and {high:g}, or None for "
            "the default"
        )
    if not low <= tolerance <= high:
        raise ValueError(f"tolerance is {tolerance:g}; it must lie between {low:g} and {high:g}")


@final
@dataclass(frozen=True, eq=False)
class ReciprocalTable:
    """I_nl(k), the integral of r^2 R_nl(r) j_l(k r), up to `k_max`. Source: theory, section 2.

    `k_max` is where the neglected tail of v^(k) I_nl(k) k^2 is below the tolerance, relative to its
    whole integral, for every l.
    """

    series: ChebyshevSeries
    k_max: float
    max_angular: int
    n_radial: int
    origin: Float[Tensor, " n"]

    def __call__(self, k: Float[Tensor, " k"]) -> Float[Tensor, "k l n"]:
        """Values at wave numbers k in 1/Å, k <= k_max."""
        return self.series(k).reshape(len(k), self.max_angular + 1, self.n_radial)


@final
@dataclass(frozen=True, eq=False)
class RealTable:
    """F_nl(r), the projection of a field at distance r on R_nl. Source: theory, section 2.

    A field with the tail r^-p is held as F_nl(r) (1 + r^2 / a^2)^((p + l) / 2), which is smooth up
    to and including r = infinity, on u = (r - a) / (r + a): exact tails at any distance. A
    field of Gaussian range is held as it is, up to `reach`. `origin` is F_n0(0). `short` is what a
    smearing that asks for derivatives adds, of Gaussian range.
    """

    series: ChebyshevSeries | MixedSeries
    max_angular: int
    n_radial: int
    decay: Parameter
    scale: float
    origin: Float[Tensor, " n"]
    short: MixedSeries | None = None

    def __call__(self, r: Float[Tensor, " pair"]) -> Float[Tensor, "pair l n"]:
        """Values at distances r in Å."""
        shape = (len(r), self.max_angular + 1, self.n_radial)
        if math.isinf(number(self.decay)):
            values = self.series(r).reshape(shape)
        else:
            smooth = self.series((r - self.scale) / (r + self.scale)).reshape(shape)
            half_power = 0.5 * (
                self.decay + torch.arange(self.max_angular + 1, dtype=r.dtype, device=r.device)
            )
            tail = (1 + (r / self.scale) ** 2)[:, None] ** -half_power
            values = smooth * tail[:, :, None]
        if self.short is None:
            return values
        inside = (r <= self.short.upper)[:, None, None]
        added = self.short(r.clamp(max=self.short.upper)).reshape(shape)
        return values + torch.where(inside, added, torch.zeros_like(added))


def reciprocal_table(
    field: AbstractField,
    basis: AbstractRadialBasis,
    max_angular: int,
    tolerance: float,
) -> ReciprocalTable:
    """Tabulate I_nl(k) as far as the field needs it for a relative accuracy."""
    return _reciprocal_table(sharpest(field), basis, max_angular, tolerance)


def sharpest(field: AbstractField) -> AbstractField:
    """With numbers for parameters; those that are trained take the sharpest of their window.

    What only has to suffice for the field, such as the largest wave number, then stays while an
    optimiser moves a parameter.
    """
    fixed, names = frozen(field), trainable(field)
    if "smearing" in names:
        fixed = replace(fixed, smearing=smearing_window(fixed.smearing)[0])  # type: ignore[type-var]
    if "exponent" in names:
        fixed = replace(fixed, exponent=exponent_window(fixed.exponent).lower)  # type: ignore[type-var]
    return fixed


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)
def _reciprocal_table(
    field: AbstractField, basis: AbstractRadialBasis, max_angular: int, tolerance: float
) -> ReciprocalTable:
    k_top = REACH / field.smearing
    functions = orthonormalize(basis, max_angular, k_top)
    k_max = _reciprocal_limit(field, functions, k_top, tolerance)
    series = fit_chebyshev(lambda k: bessel_integrals(functions, k), 0, k_max, tolerance / 10)
    origin = bessel_integrals(functions, np.zeros(1))[0, : functions.n_radial]
    return ReciprocalTable(
        series, k_max, max_angular, functions.n_radial, torch.from_numpy(origin.copy())
    )


def _reciprocal_limit(
    field: AbstractField, functions: RadialFunctions, k_top: float, tolerance: float
) -> float:
    k = np.linspace(k_top / 400, k_top, 400)
    kernel = field.fourier(torch.from_numpy(k)).numpy() * k**2
    weight = np.abs(kernel[:, None] * bessel_integrals(functions, k))
    tail = np.cumsum(weight[::-1], axis=0)[::-1]
    # relative to the largest channel of each l: the steepest of the orthonormal functions are small
    total = tail[0].reshape(functions.max_angular + 1, functions.n_radial).max(axis=1)
    needed = (tail > tolerance / 10 * np.repeat(total, functions.n_radial)).any(axis=1)
    last = int(np.nonzero(needed)[0].max())
    return float(k[min(last + 1, len(k) - 1)])


def real_table(
    field: AbstractField,
    basis: AbstractRadialBasis,
    max_angular: int,
    reach: float | None,
    tolerance: float,
) -> RealTable:
    """Tabulate F_nl(r) for all r (a field with an algebraic tail) or for r up to `reach` in Å."""
    if trainable(field):
        return _mixed_real_table(field, basis, max_angular, reach, tolerance)
    return _real_table(frozen(field), basis, max_angular, reach, tolerance)


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)
def _real_table(
    field: AbstractField,
    basis: AbstractRadialBasis,
    max_angular: int,
    reach: float | None,
    tolerance: float,
) -> RealTable:
    series, origins = _fit_together((field,), basis, max_angular, reach, tolerance)
    return RealTable(
        series,
        max_angular,
        origins.shape[1],
        field.decay,
        _tail_scale((field,), basis, max_angular),
        origins[0].clone(),
    )


def _mixed_real_table(
    field: AbstractField,
    basis: AbstractRadialBasis,
    max_angular: int,
    reach: float | None,
    tolerance: float,
) -> RealTable:
    """Interpolated in the exponent; from one smearing to another, Gaussians are added.

    The difference of two smearings is a mixture of Gaussians for every exponent, and one more
    table of those at a few widths makes it.
    """
    anchor, names, window = frozen(field), trainable(field), None
    if "smearing" in names:
        low, high = smearing_window(anchor.smearing)
        window = ParameterWindow(-math.log(2 * high**2), -math.log(2 * low**2))
        anchor = replace(anchor, smearing=low)
    nodes, weights = (anchor,), torch.ones(1, dtype=torch.float64)
    if "exponent" in names:
        exponents = exponent_window(anchor.exponent)
        nodes = tuple(replace(anchor, exponent=p) for p in exponents.nodes)
        weights = exponents.lagrange(field.exponent[None])[0]
    fitted, origins = _fit_together(nodes, basis, max_angular, reach, tolerance)
    series, origin = _mix(fitted, weights), weights @ origins.to(weights)
    short = None
    if window is not None:
        widths = [math.exp(-0.5 * u) / math.sqrt(2) for u in window.nodes]
        gaussians = tuple(GaussianDensity(width) for width in widths)
        norms = torch.tensor([(math.pi * w**2) ** 0.75 for w in widths], dtype=torch.float64)
        weights = field.gaussian_weights(anchor, window.lagrange)
        weights = weights * norms.to(weights)
        fitted, origins = _fit_together(gaussians, basis, max_angular, None, tolerance)
        short, origin = _mix(fitted, weights), origin.to(weights) + weights @ origins.to(weights)
    decay = field.exponent if math.isfinite(anchor.decay) else math.inf
    scale = _tail_scale(nodes, basis, max_angular)
    return RealTable(series, max_angular, len(origin), decay, scale, origin, short)


def _tail_scale(
    fields: tuple[AbstractField, ...], basis: AbstractRadialBasis, max_angular: int
) -> float:
    """Where tails begin: nearer, values would be tiny beside those of the fitted function."""
    widest = max(field.width for field in fields)
    steepest = max((f.decay for f in fields if math.isfinite(f.decay)), default=0.0)
    return basis.radius + widest * math.sqrt(steepest + max_angular)


def _mix(series: ChebyshevSeries, weights: Float[Tensor, " node"]) -> MixedSeries:
    nodes = series.coefficients.to(weights).unflatten(1, (len(weights), -1))
    mixed = torch.einsum("n,knc->kc", weights, nodes)
    return MixedSeries(mixed, series.lower, series.upper)


@lru_cache(maxsize=128)
@torch.inference_mode(mode=False)
def _fit_together(
    fields: tuple[AbstractField, ...],
    basis: AbstractRadialBasis,
    max_angular: int,
    reach: float | None,
    tolerance: float,
) -> tuple[ChebyshevSeries, Float[Tensor, "field n"]]:
    """Series of all fields, which fall off alike, and their F_n0(0).

    One fit for all: what it neglects is then a smooth function of the fields' parameters, and not
    a noise that derivatives in them would amplify.
    """
    functions = orthonormalize(basis, max_angular, _RESOLUTION / min(f.smearing for f in fields))
    scale, n_radial = _tail_scale(fields, basis, max_angular), functions.n_radial

    def integrals(r: np.ndarray) -> np.ndarray:
        return np.concatenate([overlap_integrals(f, functions, r) for f in fields], axis=1)

    origins = integrals(np.zeros(1)).reshape(len(fields), -1)[:, :n_radial]
    if any(math.isinf(f.decay) for f in fields):
        if reach is None:
            reach = float(functions.r[-1]) + REACH * max(f.width for f in fields)
        series = fit_chebyshev(integrals, 0, reach, tolerance / 10)
        return series, torch.from_numpy(origins.copy())
    decays = np.array([f.decay for f in fields])
    half_power = 0.5 * (decays[:, None, None] + np.arange(max_angular + 1)[:, None])
    half_power = np.broadcast_to(half_power, (len(fields), max_angular + 1, n_radial)).ravel()

    def smooth(u: np.ndarray) -> np.ndarray:
        r = scale * (1 + u) / (1 - u)
        return integrals(r) * (1 + (r / scale) ** 2)[:, None] ** half_power

    return fit_chebyshev(smooth, -1, 1, tolerance / 10), torch.from_numpy(origins.copy())


def real_reach(
    field: AbstractField,
    basis: AbstractRadialBasis,
    max_angular: int,
    tolerance: float,
) -> float:
    """Radius in Å beyond which neighbors contribute less than the tolerance.

    Each F_nl, and the sum over everything outside at 0.1 atoms per Å^3, is then below the tolerance
    in units of the largest value of the channels of its l.

    Args:
        field: one of Gaussian range.
        basis: radial basis.
        max_angular: largest l, inclusive.
        tolerance: relative accuracy.

    Raises:
        ValueError: if the field has an algebraic tail.
    """
    if math.isfinite(field.decay):
        raise ValueError(
            f"a field that falls off as r^-{field.decay:g} has no reach; split it, or give a cutoff"
        )
    return _real_reach(frozen(field), basis, max_angular, tolerance)


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)
def _real_reach(
    field: AbstractField, basis: AbstractRadialBasis, max_angular: int, tolerance: float
) -> float:
    functions = orthonormalize(basis, max_angular, _RESOLUTION / field.smearing)
    r = np.linspace(0, float(functions.r[-1]) + REACH * field.width, _REACH_POINTS)
    values = np.abs(overlap_integrals(field, functions, r))
    size = values.reshape(len(r), max_angular + 1, -1).max(axis=2)
    shells = size * (4 * np.pi * _DENSE * r**2 * (r[1] - r[0]))[:, None]
    outside = np.cumsum(shells[::-1], axis=0)[::-1]
    needed = (np.maximum(size, outside) > tolerance * size.max(axis=0)).any(axis=1)
    last = int(np.nonzero(needed)[0].max())
    return float(r[min(last + 1, len(r) - 1)])
