"""The screened Coulomb potential of a Gaussian charge, against its formulas in mpmath."""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy.special import roots_legendre

from multilode.fields import SmearedPotential, YukawaPotential
from multilode.fields.moments import mixture_moments

SMEARING = 0.7
RADII = np.array([0.0, 1e-8, 1e-3, 0.2, 0.349, 0.351, 1.0, 2.7, 9.0, 40.0])
LENGTHS = [0.1, 0.5, 1.0, 4.0, 50.0, 1e4]


@pytest.mark.parametrize("length", LENGTHS)
def test_profile_against_mpmath(length):
    """(exp(-r/L) erfc(s/sqrt2 L - r/sqrt2 s) - exp(r/L) erfc(s/sqrt2 L + r/sqrt2 s)) / 2r."""
    s, screening = mpmath.mpf(SMEARING), mpmath.mpf(length)

    def exact(r):
        a, front = s / (mpmath.sqrt(2) * screening), mpmath.exp(s**2 / (2 * screening**2))
        if r == 0:
            slope = -2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-(a**2))
            return front * (-mpmath.erfc(a) / screening - slope / (mpmath.sqrt(2) * s))
        y = r / (mpmath.sqrt(2) * s)
        inner = mpmath.exp(-r / screening) * mpmath.erfc(a - y)
        return front * (inner - mpmath.exp(r / screening) * mpmath.erfc(a + y)) / (2 * r)

    with mpmath.workdps(60):
        expected = [float(exact(mpmath.mpf(float(r)))) for r in RADII]
    found = YukawaPotential(SMEARING, length).profile(torch.from_numpy(RADII)).numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-12, atol=1e-16 * expected[0])


@pytest.mark.parametrize("length", LENGTHS)
def test_transform(length):
    k = torch.tensor([1e-4, 0.1, 1.0, 5.0], dtype=torch.float64)
    expected = 4 * math.pi * torch.exp(-0.5 * (k * SMEARING) ** 2) / (k**2 + 1 / length**2)
    field = YukawaPotential(SMEARING, length)
    torch.testing.assert_close(field.fourier(k), expected, rtol=1e-14, atol=0)
    assert field.fourier_origin() == pytest.approx(4 * math.pi * length**2, rel=1e-15)


def test_without_screening_it_is_the_coulomb_potential():
    r = torch.tensor([0.0, 0.3, 2.0, 15.0], dtype=torch.float64)
    errors = []
    for length in (100.0, 1000.0, 1e4):
        screened = YukawaPotential(SMEARING, length).profile(r)
        errors.append(float((screened - SmearedPotential(SMEARING, 1.0).profile(r)).abs().max()))
        assert errors[-1] == pytest.approx(1 / length, rel=0.2)  # the constant -1 / L


@pytest.mark.parametrize(
    "length",
    [
        0.1,
        pytest.param(0.3, marks=pytest.mark.slow),
        pytest.param(1.0, marks=pytest.mark.slow),
        20.0,
    ],
)
def test_far_moments_against_mpmath(length):
    """Also of a charge that is much wider than its screening length."""
    field = YukawaPotential(SMEARING, length)
    x, r = np.array([0.0, 0.5, 3.0]), np.array([10.0, 10.0, 12.0])
    found = field.far_moments(x, r, 4)

    def exact(l, x, r):
        s, screening = mpmath.mpf(SMEARING), mpmath.mpf(length)

        def value(c):
            d = mpmath.sqrt(x**2 + r**2 - 2 * x * r * c)
            a, y = s / (mpmath.sqrt(2) * screening), d / (mpmath.sqrt(2) * s)
            inner = mpmath.exp(-d / screening) * mpmath.erfc(a - y)
            outer = mpmath.exp(d / screening) * mpmath.erfc(a + y)
            return mpmath.exp(a**2) * (inner - outer) / (2 * d) * mpmath.legendre(l, c)

        return float(mpmath.quad(value, [-1, 0, 1]))

    with mpmath.workdps(40 if length < 1 else 25):  # erfc of a large argument cancels
        expected = [[exact(l, *map(float, p)) for p in zip(x, r, strict=True)] for l in range(5)]
    height = float(field.profile(torch.zeros(1, dtype=torch.float64)))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-30 * height)


def test_moments_of_one_gaussian_by_quadrature():
    nodes, weights = roots_legendre(60)
    x, r = np.array([0.0, 0.4, 1.5]), np.array([0.6, 2.0, 1.5])
    found = mixture_moments(np.array([0.8]), np.array([1.3]), x, r, 5)
    square = x[:, None] ** 2 + r[:, None] ** 2 - 2 * (x * r)[:, None] * nodes
    for l in range(6):
        polynomial = np.polynomial.legendre.Legendre.basis(l)(nodes)
        expected = 1.3 * np.exp(-0.8 * square) @ (weights * polynomial)
        np.testing.assert_allclose(found[l], expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, 0.01, 2e4])
def test_screening_length_out_of_range(value):
    with pytest.raises(ValueError, match=r"screening_length is .* between 0.1 and 10000 Å"):
        YukawaPotential(1.0, value)
