"""Radial integrals of fields with basis functions, tabulated once to a requested accuracy.

Both tables hold all (l, n) channels, l major, and are differentiable to any order, also in the
parameters of the field where those are tensors that ask for it.
"""

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multilode.fields import AbstractField, GaussianDensity
from multilode.fields.field import (
    REACH,
    frozen,
    parameter_ranges,
    parameters,
    trainable,
    with_parameters,
)
from multilode.fields.measure import width_of
from multilode.numerics.chebyshev import ChebyshevSeries, fit_chebyshev
from multilode.numerics.special import number
from multilode.radial.basis import AbstractRadialBasis
from multilode.radial.orthonormal import RadialFunctions, orthonormalize
from multilode.radial.parametric_series import ParameterWindow, smearing_window, window
from multilode.radial.quadratures import bessel_integrals, overlap_integrals
from multilode.radial.series import RealTable, SeriesToInfinity, SeriesWithin

_TOLERANCES = (1e-12, 1e-2)  # what double precision can resolve, and what is still worth a name
_RESOLUTION = 3.3  # over the width: radial nodes closer than 0.8 widths resolve a Gaussian to 1e-13
_REACH_POINTS = 600
_MARGIN = 0.01  # in ln t, by which a smearing may miss its window for rounding
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
    if not low <= float(tolerance) <= high:
        raise ValueError(f"tolerance is {tolerance:g}; it must lie between {low:g} and {high:g}")


@final
@dataclass(frozen=True, eq=False)
class ReciprocalTable:
    """I_nl(k), the integral of r^2 R_nl(r) j_l(k r), up to `k_max`.

    `k_max` is where the neglected tail of v^(k) I_nl(k) k^2 is below the tolerance, relative to its
    whole integral, for every l.

    Source: theory#radial-transform.
    """

    series: ChebyshevSeries
    k_max: float
    max_angular: int
    n_radial: int
    origin: Float[Tensor, " n"]

    def __call__(self, k: Float[Tensor, " k"]) -> Float[Tensor, "k l n"]:
        """Values at wave numbers k in 1/Å, k <= k_max."""
        return self.series(k).reshape(len(k), self.max_angular + 1, self.n_radial)


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
    ranges, fixed, values = parameter_ranges(field), parameters(frozen(field)), {}
    for name in trainable(field):
        allowed = ranges[name]
        values[name] = allowed.clip(window(allowed, fixed[name]).smallest)
    return with_parameters(frozen(field), **values)


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)
def _reciprocal_table(
    field: AbstractField, basis: AbstractRadialBasis, max_angular: int, tolerance: float
) -> ReciprocalTable:
    k_top = REACH / number(field.smearing)
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
    part = _part(field, series, _tail_scale((field,), basis, max_angular), ends=reach is None)
    return RealTable((part,), max_angular, origins.shape[1], origins[0].clone())


def _part(
    field: AbstractField, series: ChebyshevSeries, scale: float, *, ends: bool
) -> SeriesToInfinity | SeriesWithin:
    if math.isfinite(field.widest):
        return SeriesWithin(series, ends)
    return SeriesToInfinity(series, 0.0 if field.tail is None else field.tail, scale)


def _mixed_real_table(
    field: AbstractField,
    basis: AbstractRadialBasis,
    max_angular: int,
    reach: float | None,
    tolerance: float,
) -> RealTable:
    """Interpolated in the parameters; from one smearing to another, Gaussians are added.

    The difference of two smearings is a mixture of Gaussians for all other parameters, and one
    more table of those at a few widths makes it.
    """
    anchor, ranges = frozen(field), parameter_ranges(field)
    front, added = torch.ones((), dtype=torch.float64), None
    if "smearing" in trainable(field):
        rates = smearing_window(ranges["smearing"], field.smearing)
        low = ranges["smearing"].clip(width_of(rates.largest))
        anchor = with_parameters(anchor, smearing=low)
        front, weights = _change_of_smearing(field, with_parameters(field, smearing=low), rates)
        added = _gaussians(rates, weights, basis, max_angular, tolerance)
    nodes, lagrange = _grid_of_parameters(field, anchor)
    mixing = front.to(lagrange) * lagrange
    fitted, origins = _fit_together(nodes, basis, max_angular, reach, tolerance)
    origin, scale = mixing @ origins.to(mixing), _tail_scale(nodes, basis, max_angular)
    whole = _part(field, _mix(fitted, mixing), scale, ends=reach is None)
    if added is None:
        return RealTable((whole,), max_angular, len(origin), origin)
    part, own = added
    return RealTable((whole, part), max_angular, len(origin), origin.to(own) + own)


def _grid_of_parameters(
    field: AbstractField, anchor: AbstractField
) -> tuple[tuple[AbstractField, ...], Float[Tensor, " node"]]:
    """Fields at the nodes of all trained parameters but the smearing, and their shares."""
    ranges, values = parameter_ranges(field), parameters(field)
    names = sorted(trainable(field) - {"smearing"})
    windows = {name: window(ranges[name], values[name]) for name in names}
    shares = torch.ones(1, dtype=torch.float64)
    for name in names:
        value = torch.as_tensor(values[name], dtype=torch.float64)
        lagrange = windows[name].lagrange(value[None])[0]
        shares = (shares.to(lagrange)[:, None] * lagrange).flatten()
    nodes = []
    for point in itertools.product(*(windows[name].nodes for name in names)):
        clipped = {k: ranges[k].clip(v) for k, v in zip(names, point, strict=True)}
        nodes.append(with_parameters(anchor, **clipped))
    return tuple(nodes), shares


def _gaussians(
    rates: ParameterWindow,
    weights: Float[Tensor, " node"],
    basis: AbstractRadialBasis,
    max_angular: int,
    tolerance: float,
) -> tuple[SeriesWithin, Float[Tensor, " n"]]:
    """Sum of Gaussians exp(-t r^2) at the nodes of a window, and its F_n0(0)."""
    fields = tuple(GaussianDensity(width_of(rate)) for rate in rates.nodes)
    norms = [(math.pi * number(f.smearing) ** 2) ** 0.75 for f in fields]
    weights = weights * torch.tensor(norms, dtype=torch.float64).to(weights)
    fitted, origins = _fit_together(fields, basis, max_angular, None, tolerance)
    return SeriesWithin(_mix(fitted, weights), ends=True), weights @ origins.to(weights)


def _change_of_smearing(
    field: AbstractField, anchor: AbstractField, rates: ParameterWindow
) -> tuple[Float[Tensor, ""], Float[Tensor, " node"]]:
    """A factor c and weights of Gaussians, field = c anchor + sum of w exp(-t r^2).

    Below the rates that either smearing may have the two measures are proportional; what they are
    there says c, and what is left of them above is a mixture of Gaussians within the window.
    """
    border = rates.smallest * math.exp(-_MARGIN)
    front = torch.ones((), dtype=torch.float64)
    if field.tail is None:
        below = [f.measure(0.0, border)[1].sum() for f in (field, anchor)]
        if number(below[1]) > 0:
            front = below[0] / below[1]
    weights = []
    for part in (field, anchor):
        t, weight = part.measure(border, math.inf)
        weights.append(weight @ rates.lagrange(t))
    return front, weights[0] - front.to(weights[1]) * weights[1]


def _tail_scale(
    fields: tuple[AbstractField, ...], basis: AbstractRadialBasis, max_angular: int
) -> float:
    """Start of the tails: nearer, values would be tiny beside those of the fitted function."""
    widest = max(field.core for field in fields)
    steepest = max((f.decay for f in fields if math.isfinite(f.decay)), default=0.0)
    return basis.radius + widest * math.sqrt(steepest + max_angular)


def _mix(series: ChebyshevSeries, weights: Float[Tensor, " node"]) -> ChebyshevSeries:
    nodes = series.coefficients.to(weights).unflatten(1, (len(weights), -1))
    mixed = torch.einsum("n,knc->kc", weights, nodes)
    return ChebyshevSeries(mixed, series.lower, series.upper)


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
    smallest = min(number(field.smearing) for field in fields)
    functions = orthonormalize(basis, max_angular, _RESOLUTION / smallest)
    scale, n_radial = _tail_scale(fields, basis, max_angular), functions.n_radial

    def integrals(r: np.ndarray) -> np.ndarray:
        return np.concatenate([overlap_integrals(f, functions, r) for f in fields], axis=1)

    origins = integrals(np.zeros(1)).reshape(len(fields), -1)[:, :n_radial]
    if all(math.isfinite(field.widest) for field in fields):
        if reach is None:
            reach = float(functions.r[-1]) + max(field.reach for field in fields)
        series = fit_chebyshev(integrals, 0, reach, tolerance / 10)
        return series, torch.from_numpy(origins.copy())
    powers = np.array([0.0 if f.tail is None else f.decay for f in fields])
    half_power = 0.5 * (powers[:, None, None] + np.arange(max_angular + 1)[:, None])
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
        field: one without an algebraic tail.
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
    functions = orthonormalize(basis, max_angular, _RESOLUTION / number(field.smearing))
    r = np.linspace(0, float(functions.r[-1]) + field.reach, _REACH_POINTS)
    values = np.abs(overlap_integrals(field, functions, r))
    size = values.reshape(len(r), max_angular + 1, -1).max(axis=2)
    shells = size * (4 * np.pi * _DENSE * r**2 * (r[1] - r[0]))[:, None]
    outside = np.cumsum(shells[::-1], axis=0)[::-1]
    needed = (np.maximum(size, outside) > tolerance * size.max(axis=0)).any(axis=1)
    last = int(np.nonzero(needed)[0].max())
    return float(r[min(last + 1, len(r) - 1)])
