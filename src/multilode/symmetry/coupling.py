"""Coupling of two rotating vectors into a third: Clebsch-Gordan coefficients of real harmonics."""

from functools import cache
from math import comb, sqrt

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor


@cache
@torch.inference_mode(mode=False)
def clebsch_gordan(l1: int, l2: int, degree: int) -> Float[Tensor, "m1 m2 m"]:
    """Coefficients <l1 m1; l2 m2 | degree m> between real spherical harmonics, in float64.

    For given l1 and l2 the coefficients of all degrees are an orthogonal matrix from (m1, m2) to
    (degree, m). They are those of the usual complex harmonics, taken to the real ones, times
    i^(degree - l1 - l2): this makes all of them real. It fixes the signs so that

    - for even l1 + l2 + degree they are positive multiples of the integral of the three harmonics,
      in particular delta_m1,m2 / sqrt(2 l + 1) for l1 = l2 = l and degree 0;
    - for odd l1 + l2 + degree they change sign when the factors change places; two vectors give
      their cross product over sqrt2.

    Exact up to the rounding of the result: sums run over integers.

    Source: theory#clebsch-gordan; Grisafi2021 Eq. 6; Varshalovich1988.

    Args:
        l1: degree of the first factor.
        l2: degree of the second factor.
        degree: degree of the product.

    Raises:
        ValueError: if the three degrees violate the triangle inequality.
    """
    if not 0 <= abs(l1 - l2) <= degree <= l1 + l2:
        raise ValueError(
            f"l1 = {l1} and l2 = {l2} do not couple to degree {degree}; "
            f"it must lie between {abs(l1 - l2)} and {l1 + l2}"
        )
    values = _complex_coefficients(l1, l2, degree).astype(complex)
    first, second, product = (_real_from_complex(l) for l in (l1, l2, degree))
    values = np.einsum("xyz,cz->xyc", values, product)
    values = np.einsum("xyc,by->xbc", values, second.conj())
    values = np.einsum("xbc,ax->abc", values, first.conj())
    values = values * (1, 1j, -1, -1j)[(degree - l1 - l2) % 4]
    return torch.from_numpy(values.real.copy())


def _complex_coefficients(l1: int, l2: int, degree: int) -> Float[np.ndarray, "m1 m2 m"]:
    """Racah's formula in binomial coefficients, its sum and the square of its result exact."""
    values = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * degree + 1))
    lost, first, second = l1 + l2 - degree, l1 - l2 + degree, l2 - l1 + degree
    numerator = comb(2 * l1, lost) * comb(2 * l2, lost)
    common = comb(l1 + l2 + degree + 1, lost)
    mirrored = (-1) ** lost  # the sign that comes with the signs of all m
    for m1 in range(-l1, l1 + 1):
        for m2 in range(max(-l2, -m1), min(l2, degree - m1) + 1):
            m = m1 + m2
            total = sum(
                (-1) ** k * comb(lost, k) * comb(first, l1 - m1 - k) * comb(second, l2 + m2 - k)
                for k in range(max(0, -m1 - degree + l2, m2 - degree + l1), lost + 1)
                if k <= l1 - m1 and k <= l2 + m2
            )
            denominator = common * comb(2 * l1, l1 - m1) * comb(2 * l2, l2 - m2)
            square = numerator * total**2 / (denominator * comb(2 * degree, degree - m))
            value = sqrt(square) if total >= 0 else -sqrt(square)
            values[l1 + m1, l2 + m2, degree + m] = value
            values[l1 - m1, l2 - m2, degree - m] = mirrored * value
    return values


def _real_from_complex(l: int) -> Complex[np.ndarray, "real complex"]:
    """Real harmonics without Condon-Shortley phase, of the complex ones that have it."""
    matrix = np.zeros((2 * l + 1, 2 * l + 1), dtype=complex)
    matrix[l, l] = 1
    for m in range(1, l + 1):
        sign = (-1) ** m
        matrix[l + m, [l + m, l - m]] = sign / sqrt(2), 1 / sqrt(2)  # cosines
        matrix[l - m, [l + m, l - m]] = -1j * sign / sqrt(2), 1j / sqrt(2)  # sines
    return matrix
