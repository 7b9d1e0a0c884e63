"""Radial integrals of fields with basis functions, tabulated once to a requested accuracy.

Both tables hold all (l, n) channels, l major, and are differentiable to any order.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import roots_legendre, spherical_jn
from torch import Tensor

from multilode.chebyshev import ChebyshevSeries, fit_chebyshev
from multilode.fields import AbstractField
from multilode.radial import AbstractRadialBasis, RadialFunctions, orthonormalize

DEFAULT_TOLERANCE = 1e-10
_TOLERANCES = (1e-12, 1e-2)  # what double precision can resolve, and what is still worth a name
_REACH = 9.0  # widths beyond which a Gaussian is below 1e-17
_RESOLUTION = 3.3  # over the width: radial nodes closer than 0.8 widths resolve a Gaussian to 1e-13
_FAR_RATIO = 0.6  # the series in x / r converges fast below


def check_tolerance(tolerance: float) -> None:
    """Raise a ValueError if radial integrals cannot be tabulated to this relative accuracy."""
    low, high = _TOLERANCES
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
    field of Gaussian range is held as it is, up to `reach`. `origin` is F_n0(0).
    """

    series: ChebyshevSeries
    max_angular: int
    n_radial: int
    decay: float
    scale: float
    origin: Float[Tensor, " n"]

    def __call__(self, r: Float[Tensor, " pair"]) -> Float[Tensor, "pair l n"]:
        """Values at distances r in Å."""
        shape = (len(r), self.max_angular + 1, self.n_radial)
        if math.isinf(self.decay):
            return self.series(r).reshape(shape)
        smooth = self.series((r - self.scale) / (r + self.scale)).reshape(shape)
        half_power = 0.5 * (
            self.decay + torch.arange(self.max_angular + 1, dtype=r.dtype, device=r.device)
        )
        tail = (1 + (r / self.scale) ** 2)[:, None] ** -half_power
        return smooth * tail[:, :, None]


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)
def reciprocal_table(
    field: AbstractField,
    basis: AbstractRadialBasis,
    max_angular: int,
    tolerance: float = DEFAULT_TOLERANCE,
) -> ReciprocalTable:
    """Tabulate I_nl(k) as far as the field needs it for a relative accuracy."""
    k_top = _REACH / field.smearing
    functions = orthonormalize(basis, max_angular, k_top)
    k_max = _reciprocal_limit(field, functions, k_top, tolerance)
    series = fit_chebyshev(lambda k: _bessel_integrals(functions, k), 0, k_max, tolerance / 10)
    origin = _bessel_integrals(functions, np.zeros(1))[0, : functions.n_radial]
    return ReciprocalTable(
        series, k_max, max_angular, functions.n_radial, torch.from_numpy(origin.copy())
    )


def _bessel_integrals(functions: RadialFunctions, k: np.ndarray) -> np.ndarray:
    """I_nl at wave numbers k: [k, l n]."""
    measure = functions.weights * functions.r**2
    columns = [
        spherical_jn(l, k[:, None] * functions.r) @ (functions.values[l] * measure).T
        for l in range(functions.max_angular + 1)
    ]
    return np.concatenate(columns, axis=1)


def _reciprocal_limit(
    field: AbstractField, functions: RadialFunctions, k_top: float, tolerance: float
) -> float:
    k = np.linspace(k_top / 400, k_top, 400)
    kernel = field.fourier(torch.from_numpy(k)).numpy() * k**2
    weight = np.abs(kernel[:, None] * _bessel_integrals(functions, k))
    tail = np.cumsum(weight[::-1], axis=0)[::-1]
    # relative to the largest channel of each l: the steepest of the orthonormal functions are small
    total = tail[0].reshape(functions.max_angular + 1, functions.n_radial).max(axis=1)
    needed = (tail > tolerance / 10 * np.repeat(total, functions.n_radial)).any(axis=1)
    last = int(np.nonzero(needed)[0].max())
    return float(k[min(last + 1, len(k) - 1)])


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)
def real_table(
    field: AbstractField,
    basis: AbstractRadialBasis,
    max_angular: int,
    reach: float | None,
    tolerance: float = DEFAULT_TOLERANCE,
) -> RealTable:
    """Tabulate F_nl(r) for all r (a field with an algebraic tail) or for r up to `reach` in Å."""
    functions = orthonormalize(basis, max_angular, _RESOLUTION / field.smearing)
    scale = basis.cutoff
    own = _overlap_integrals(field, functions, np.zeros(1))[0, : functions.n_radial]
    origin = torch.from_numpy(own.copy())
    if math.isinf(field.decay):
        if reach is None:
            reach = functions.r[-1] + _REACH * field.smearing
        series = fit_chebyshev(
            lambda r: _overlap_integrals(field, functions, r), 0, reach, tolerance / 10
        )
        return RealTable(series, max_angular, functions.n_radial, math.inf, scale, origin)

    half_power = 0.5 * (field.decay + np.arange(max_angular + 1))
    half_power = np.repeat(half_power, functions.n_radial)

    def smooth(u: np.ndarray) -> np.ndarray:
        r = scale * (1 + u) / (1 - u)
        return (
            _overlap_integrals(field, functions, r) * (1 + (r / scale) ** 2)[:, None] ** half_power
        )

    series = fit_chebyshev(smooth, -1, 1, tolerance / 10)
    return RealTable(series, max_angular, functions.n_radial, field.decay, scale, origin)


def _overlap_integrals(
    field: AbstractField, functions: RadialFunctions, r: np.ndarray
) -> np.ndarray:
    """F_nl(r) = 2 pi int x^2 R_nl(x) int P_l(c) v(|x - r|) dc dx: [r, l n]."""
    angular = _legendre_moments(field, functions.r, r, functions.max_angular)
    measure = 2 * np.pi * functions.weights * functions.r**2
    columns = [
        angular[l] @ (functions.values[l] * measure).T for l in range(functions.max_angular + 1)
    ]
    return np.concatenate(columns, axis=1)


def _legendre_moments(
    field: AbstractField, x: np.ndarray, r: np.ndarray, max_angular: int
) -> Float[np.ndarray, "l r x"]:
    """Integral of P_l(c) v(|x - r|) over c: a series where the smearing is out of reach."""
    x, r = np.broadcast_arrays(x[None, :], r[:, None])
    larger, ratio = np.maximum(x, r), np.minimum(x, r) / np.maximum(x, r)
    far = (larger * (1 - ratio) > _REACH * field.smearing) & (ratio < _FAR_RATIO)
    if math.isinf(field.decay):
        far = larger * (1 - ratio) > _REACH * field.smearing
    moments = np.zeros((max_angular + 1, *x.shape))
    if far.any():
        tail = larger[far] ** -field.decay if math.isfinite(field.decay) else 0.0
        moments[:, far] = field.far_moments(ratio[far], max_angular) * tail
    near = np.flatnonzero(~far)
    arcs = np.sqrt(x.flat[near] * r.flat[near])
    order = np.argsort(arcs)
    flat = moments.reshape(max_angular + 1, -1)
    for block in np.array_split(order, 32 + len(near) // 20_000):
        if len(block):
            a, b = x.flat[near[block]], r.flat[near[block]]
            flat[:, near[block]] = _near_moments(field, a, b, arcs[block[-1]], max_angular)
    return moments


def _near_moments(
    field: AbstractField, x: np.ndarray, r: np.ndarray, arc: float, max_angular: int
) -> Float[np.ndarray, "l point"]:
    """By quadrature: nodes are even in the angle, about three per smearing along the arc."""
    count = 40 + math.ceil(3.5 * arc / field.smearing)
    nodes, weights = roots_legendre(count)
    projector = np.polynomial.legendre.legvander(nodes, max_angular) * weights[:, None]
    square = (x - r)[:, None] ** 2 + 2 * (x * r)[:, None] * (1 - nodes)
    profile = field.profile(torch.from_numpy(np.sqrt(square))).numpy()
    return (profile @ projector).T
