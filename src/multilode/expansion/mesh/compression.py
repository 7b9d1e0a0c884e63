"""One small set of radial functions of k for all (n, l) of a basis.

I_nl(k) / k^l is smooth and even in k. Within the wave numbers that a smeared field contains, all
of them together span few dimensions: a mesh needs one channel for each of these, not for each
(n, l, m), as k^l Y_lm(k^) is a derivative that the interpolation takes.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import factorial2, spherical_jn
from torch import Tensor

from multilode.fields.field import AbstractField
from multilode.numerics.chebyshev import ChebyshevSeries, fit_chebyshev
from multilode.numerics.special import number
from multilode.radial.bases import AbstractRadialBasis, RadialFunctions, orthonormalize
from multilode.radial.tables import reciprocal_table

_SAMPLES = 240  # wave numbers at which the functions are compared
_LOWEST = 0.02  # of k_max: the longest waves that are compared
_REACH = 9.0  # over the smearing: wave numbers beyond carry nothing
_SAFETY = 0.2  # the part of the tolerance that the compression may use
_BALANCES = (0.0, 1.0, 2.0)  # powers of k tried as weight of short against long waves


@final
@dataclass(frozen=True, eq=False)
class RadialCompression:
    """I_nl(k) = k^l sum_q H_q(k) maps[l][q, n], for k <= k_max.

    Args:
        functions: H_q(k).
        maps: one matrix [q, n] per l.
        k_max: largest wave number in 1/Å.
        samples: wave numbers in 1/Å at which `spectrum` is known.
        spectrum: |v^ I_nl| k, the weight of a wave number in a coefficient.
    """

    functions: ChebyshevSeries
    maps: tuple[Tensor, ...]
    k_max: float
    samples: Float[np.ndarray, " k"]
    spectrum: Float[np.ndarray, "k l n"]

    @property
    def n_functions(self) -> int:
        """Number of radial functions."""
        return self.functions.coefficients.shape[1]


def largest_wave(
    field: AbstractField, basis: AbstractRadialBasis, max_angular: int, tolerance: float
) -> float:
    """Wave number in 1/Å up to which a compression is valid, and a mesh has to go."""
    # waves of few atoms add in phase, where the mean square is too kind
    return reciprocal_table(field, basis, max_angular, _SAFETY * tolerance).k_max


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)
def compress(
    field: AbstractField,
    basis: AbstractRadialBasis,
    max_angular: int,
    tolerance: float,
    lowest: float = 0.0,
) -> RadialCompression:
    """The fewest functions that keep a relative accuracy of every l.

    Args:
        field: its transform weighs the wave numbers.
        basis: radial functions.
        max_angular: largest l.
        tolerance: root mean square error over the largest coefficient of the same l.
        lowest: smallest wave number of the cells in 1/Å; long waves, which no small cell has,
            would hide the errors of the short ones.
    """
    k_max = largest_wave(field, basis, max_angular, tolerance)
    tolerance = _SAFETY * tolerance
    radial = orthonormalize(basis, max_angular, _REACH / number(field.smearing))
    all_functions = fit_chebyshev(lambda k: _reduced_integrals(radial, k), 0, k_max, 1e-13)
    if field.fourier_origin():
        lowest = 0.0  # k = 0 itself is a wave of every crystal
    k = k_max * np.linspace(min(max(_LOWEST, lowest / k_max), 0.9), 1, _SAMPLES)
    columns = _reduced_integrals(radial, k)
    transform = np.abs(field.fourier(torch.from_numpy(k)).numpy())
    weight = transform[:, None] * k[:, None] ** (1 + np.arange(max_angular + 1))  # [k, l]
    targets = columns.reshape(len(k), max_angular + 1, -1) * weight[:, :, None]
    choices = [
        _choose(columns, transform * k ** (1 + balance), targets, weight, tolerance)
        for balance in _BALANCES
    ]
    mixing, maps = min(choices, key=lambda choice: choice[0].shape[1])
    series = ChebyshevSeries(all_functions.coefficients @ torch.from_numpy(mixing), 0, k_max)
    return RadialCompression(
        series, tuple(torch.from_numpy(m) for m in maps), k_max, k, np.abs(targets)
    )


def _choose(
    columns: Float[np.ndarray, "k l_n"],
    common: Float[np.ndarray, " k"],
    targets: Float[np.ndarray, "k l n"],
    weight: Float[np.ndarray, "k l"],
    tolerance: float,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Principal functions under one weight, as many as the tolerance needs."""
    norms = np.linalg.norm(columns * common[:, None], axis=0)
    left, values, right = np.linalg.svd(columns * (common[:, None] / norms), full_matrices=False)
    low, high = 0, int((values > 1e-14 * values[0]).sum())
    solutions = {}
    while high - low > 1:  # the error falls with the number of functions
        middle = (low + high) // 2
        solutions[middle], error = _fit(left[:, :middle] / common[:, None], targets, weight)
        low, high = (low, middle) if error < tolerance / 3 else (middle, high)
    if high not in solutions:
        solutions[high], _ = _fit(left[:, :high] / common[:, None], targets, weight)
    return (right[:high] / values[:high, None]).T / norms[:, None], solutions[high]


def _fit(
    functions: Float[np.ndarray, "k q"],
    targets: Float[np.ndarray, "k l n"],
    weight: Float[np.ndarray, "k l"],
) -> tuple[list[np.ndarray], float]:
    """Least squares for each l under its own weight, and the worst relative error."""
    maps, worst = [], 0.0
    for l in range(weight.shape[1]):
        design = functions * weight[:, l, None]
        size = np.linalg.norm(design, axis=0)
        solution = np.linalg.lstsq(design / size, targets[:, l], rcond=1e-15)[0]
        residual = targets[:, l] - design / size @ solution
        largest = np.linalg.norm(targets[:, l], axis=0).max()
        worst = max(worst, np.linalg.norm(residual, axis=0).max() / largest)
        maps.append(solution / size[:, None])
    return maps, worst


def _reduced_integrals(
    functions: RadialFunctions, k: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "k l_n"]:
    """I_nl(k) / k^l, the integral of r^(2 + l) R_nl(r) j_l(x) / x^l over r, x = k r."""
    x = k[:, None] * functions.r
    columns = []
    for l in range(functions.max_angular + 1):
        measure = functions.weights * functions.r ** (2 + l)
        columns.append(_reduced_bessel(l, x) @ (functions.values[l] * measure).T)
    return np.concatenate(columns, axis=1)


def _reduced_bessel(l: int, x: np.ndarray) -> np.ndarray:
    """j_l(x) / x^l, by its series where x is small."""
    small = x < 0.5 + 0.25 * l
    safe = np.where(small, 1.0, x)
    term = np.full_like(x, 1 / factorial2(2 * l + 1))
    series = term.copy()
    for j in range(1, 16):
        term = term * (-0.5 * np.where(small, x, 0.0) ** 2 / (j * (2 * l + 2 * j + 1)))
        series += term
    return np.where(small, series, spherical_jn(l, safe) / safe**l)
