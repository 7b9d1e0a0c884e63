"""Legendre moments of shifted profiles, int P_l(c) v(|x - r|) dc, without cancellation."""

import numpy as np
from jaxtyping import Float
from scipy.special import ive, kve, poch

_BLOCK_ELEMENTS = 2**20
_NEGLIGIBLE = 700.0  # exponents below which exp is zero


def power_moments(
    exponent: float, ratio: Float[np.ndarray, "*shape"], max_angular: int
) -> Float[np.ndarray, " l *shape"]:
    """Moments of |x - r|^-p in units of r^-p at ratio = x / r < 1, a Gegenbauer series.

    For p = 1 it is Laplace's, ratio^l / (l + 1/2).

    Source: theory#harmonic-potential; Grisafi2021 Eq. 14.
    """
    alpha = 0.5 * exponent
    square = ratio**2
    moments = []
    for l in range(max_angular + 1):
        term = 2 * poch(alpha, l) / poch(1.5, l) * ratio**l
        total, k = term.copy(), 0
        while (np.abs(term) > 1e-17 * np.abs(total)).any():
            factor = (alpha + l + k) * (alpha - 0.5 + k) / ((1.5 + l + k) * (1 + k))
            term *= factor * square
            total += term
            k += 1
        moments.append(total)
    return np.stack(moments)


def mixture_moments(
    rates: Float[np.ndarray, " node"],
    weights: Float[np.ndarray, " node"],
    smaller: Float[np.ndarray, "*shape"],
    larger: Float[np.ndarray, "*shape"],
    max_angular: int,
) -> Float[np.ndarray, " l *shape"]:
    """Moments of sum w exp(-t r^2): 2 w exp(-t (x - r)^2) i_l(z) exp(-z), z = 2 t x r; no signs."""
    x, r = smaller.reshape(-1), larger.reshape(-1)
    moments = np.zeros((max_angular + 1, len(x)))
    step = max(1, _BLOCK_ELEMENTS // max(1, len(rates)))
    for first in range(0, len(x), step):
        part = slice(first, first + step)
        exponent = (r[part] - x[part])[:, None] ** 2 * rates
        point, node = np.nonzero(exponent < _NEGLIGIBLE)
        z = 2 * rates[node] * (x[part] * r[part])[point]
        front = 2 * weights[node] * np.exp(-exponent[point, node])
        for l in range(max_angular + 1):
            terms = front * scaled_bessel_i(l, z)
            moments[l, part] = np.bincount(point, terms, minlength=len(exponent))
    return moments.reshape(max_angular + 1, *smaller.shape)


def scaled_bessel_i(l: int, z: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """exp(-z) i_l(z), the modified spherical Bessel function that is regular at the origin."""
    safe = np.where(z > 0, z, 1.0)
    return np.where(z > 0, np.sqrt(0.5 * np.pi / safe) * ive(l + 0.5, safe), float(l == 0))


def scaled_bessel_k(l: int, z: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """exp(z) k_l(z) with k_0 = exp(-z) / z, the modified spherical Bessel function that decays."""
    return np.sqrt(2 / (np.pi * z)) * kve(l + 0.5, z)
