import math

import mpmath
import numpy as np
import pytest
import torch
from scipy.special import roots_legendre

from multilode.fields import FIELDS, GaussianDensity, SmearedPotential, YukawaPotential

RADII = np.array([0.0, 1e-8, 1e-4, 0.03, 0.5, 1.0, 2.7, 9.0, 40.0])


@pytest.mark.parametrize("exponent", [0.3, 1.0, 2.0, 2.5, 3.0, 4.0, 6.0, 11.5, 20.0])
def test_profile_against_mpmath(exponent):
    smearing = 0.7

    def exact(r):
        if r == 0:
            return (2 * smearing**2) ** (-exponent / 2) / mpmath.gamma(exponent / 2 + 1)
        x = mpmath.mpf(r) ** 2 / (2 * mpmath.mpf(smearing) ** 2)
        return mpmath.gammainc(exponent / 2, 0, x, regularized=True) / mpmath.mpf(r) ** exponent

    with mpmath.workdps(30):
        expected = [float(exact(float(r))) for r in RADII]
    found = SmearedPotential(smearing, exponent).profile(torch.from_numpy(RADII)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("exponent", [0.3, 1.0, 2.0, 2.5, 2.9999, 3.0, 3.0001, 4.0, 6.0, 11.5])
def test_transform_against_mpmath(exponent):
    """Down to k = 1e-8, where the textbook form cancels, and at the pole p = 3."""
    smearing = 0.7
    wave_numbers = np.array([1e-8, 1e-5, 1e-2, 0.4, 1.7, 2.86, 6.0, 12.0])

    def exact(k):
        a, x = (3 - mpmath.mpf(exponent)) / 2, mpmath.mpf(k) ** 2 * mpmath.mpf(smearing) ** 2 / 2
        front = mpmath.pi**1.5 * mpmath.mpf(2) ** (3 - exponent) / mpmath.gamma(exponent / 2)
        return front * mpmath.gammainc(a, x) / mpmath.mpf(k) ** (3 - exponent)

    with mpmath.workdps(40):
        expected = [float(exact(float(k))) for k in wave_numbers]
    found = SmearedPotential(smearing, exponent).fourier(torch.from_numpy(wave_numbers)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("exponent", [0.3, 1.0, 2.5, 6.0, 12.0, 20.0])
def test_far_moments_against_mpmath(exponent):
    """Moments of |x - r|^-p in units of r^-p, where the series converges most slowly as well."""
    ratios = np.array([0.0, 0.3, 0.6])
    found = SmearedPotential(0.3, exponent).far_moments(ratios, np.ones(3), 4)

    def exact(l, t):
        def integrand(c):
            return mpmath.legendre(l, c) * (1 + t**2 - 2 * t * c) ** (-mpmath.mpf(exponent) / 2)

        return float(mpmath.quad(integrand, [-1, 0, 0.5, 1]))

    with mpmath.workdps(25):
        expected = [[exact(l, float(t)) for t in ratios] for l in range(5)]
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-20)


@pytest.mark.parametrize(
    "field", [GaussianDensity(0.6), *(SmearedPotential(0.6, p) for p in (3.5, 6.0))]
)
def test_transform_is_continuous_at_the_origin(field):
    k = torch.tensor([1e-8, 1e-6, 1e-4, 1e-3], dtype=torch.float64)
    limit = field.fourier_origin()
    assert limit > 0
    order = 2 if isinstance(field, GaussianDensity) or field.exponent > 5 else field.exponent - 3
    assert ((field.fourier(k) / limit - 1).abs() < 3 * k**order).all()


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0, 3.0])
def test_background_is_dropped_where_the_transform_diverges(exponent):
    field = SmearedPotential(0.6, exponent)
    assert field.fourier_origin() == 0
    k = torch.tensor([1e-3, 1e-6], dtype=torch.float64)
    assert float(field.fourier(k)[1]) > 1.5 * float(field.fourier(k)[0])


def test_coulomb_is_the_error_function():
    r = torch.linspace(0.01, 10, 50, dtype=torch.float64)
    expected = torch.erf(r / (math.sqrt(2) * 0.8)) / r
    torch.testing.assert_close(SmearedPotential(0.8, 1.0).profile(r), expected, rtol=1e-13, atol=0)


def test_density_has_unit_norm():
    nodes, weights = roots_legendre(200)
    r, weights = torch.from_numpy(5 * (nodes + 1)), torch.from_numpy(5 * weights)
    norm = 4 * math.pi * (GaussianDensity(0.6).profile(r) ** 2 * r**2) @ weights
    assert float(norm) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 3.0, 6.0])
def test_tail(exponent):
    r = torch.tensor([20.0, 1e3, 1e6], dtype=torch.float64)
    profile = SmearedPotential(1.0, exponent).profile(r)
    torch.testing.assert_close(profile * r**exponent, torch.ones_like(r), rtol=1e-13, atol=0)


@pytest.mark.parametrize("exponent", [1.0, 2.5, 3.0, 6.0])
def test_transform_is_differentiable_twice(exponent):
    k = torch.tensor([0.3, 1.0, 2.9, 5.0], dtype=torch.float64, requires_grad=True)
    field = SmearedPotential(0.7, exponent)
    assert torch.autograd.gradcheck(field.fourier, (k,))
    assert torch.autograd.gradgradcheck(field.fourier, (k,))


@pytest.mark.parametrize("smearing", [0.0, -1.0, math.nan, math.inf, 0.001, 1000.0])
def test_smearing_out_of_range(smearing):
    for make in (GaussianDensity, SmearedPotential):
        with pytest.raises(ValueError, match=r"smearing is .* between 0\.01 and 100"):
            make(smearing)


@pytest.mark.parametrize("exponent", [0.0, 1e-6, -2.0, math.nan, math.inf, 25.0])
def test_exponent_out_of_range(exponent):
    with pytest.raises(ValueError, match=r"exponent is .* between 0.0001 and 20"):
        SmearedPotential(1.0, exponent)


@pytest.mark.parametrize("value", ["1", None, True, (1.0,)])
def test_what_is_no_number_is_refused_by_a_sentence(value):
    """The range itself is asked: here, annotations are checked before a field can be."""
    for name, allowed in SmearedPotential.ranges.items():
        with pytest.raises(TypeError, match=rf"{name} is .*; give a number, or a torch.float64 te"):
            allowed.check(name, value)


def test_table():
    assert {
        "density": GaussianDensity,
        "potential": SmearedPotential,
        "yukawa": YukawaPotential,
    } == FIELDS
