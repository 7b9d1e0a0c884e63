"""Tables of radial integrals against adaptive quadrature by scipy."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import eval_legendre, roots_legendre, spherical_jn

from multilode.expansion import PairSum, ReciprocalSum
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.radial import GaussianTypeOrbitals, LaplacianEigenstates, Monomials, orthonormalize
from multilode.radial.tables import real_table, reciprocal_table

MAX_ANGULAR = 3
BASES = [GaussianTypeOrbitals(3, 2.0), Monomials(2, 2.0), LaplacianEigenstates(2, 2.0)]
FIELDS = [GaussianDensity(0.6), *(SmearedPotential(0.6, p) for p in (1.0, 2.5, 3.0, 6.0))]
basis_examples = pytest.mark.parametrize("basis", BASES, ids=lambda b: type(b).__name__)


@basis_examples
def test_bessel_integrals(basis):
    table = reciprocal_table(SmearedPotential(0.6, 1.0), basis, MAX_ANGULAR, 1e-10)
    k = np.array([1e-3, 0.3, 1.1, 4.0, table.k_max])
    found = table(torch.from_numpy(k)).numpy()
    functions = orthonormalize(basis, MAX_ANGULAR, 2 * table.k_max)
    scale = np.abs(found).max()
    for l in range(MAX_ANGULAR + 1):
        kernel = spherical_jn(l, k[:, None] * functions.r) * functions.weights * functions.r**2
        expected = kernel @ functions.values[l].T
        np.testing.assert_allclose(found[:, l], expected, rtol=0, atol=1e-9 * scale)


def test_bessel_integral_of_one_gaussian_is_the_analytic_one():
    """R_0 = N exp(-r^2 / 2 s^2): its l = 0 transform is N s^3 sqrt(pi / 2) exp(-k^2 s^2 / 2)."""
    basis, width = GaussianTypeOrbitals(1, 1.3), 1.3
    norm = math.sqrt(4 / (math.sqrt(math.pi) * width**3))
    k = torch.tensor([0.1, 0.9, 2.0, 3.5], dtype=torch.float64)
    found = reciprocal_table(GaussianDensity(0.5), basis, 0, 1e-10)(k)[:, 0, 0]
    expected = norm * width**3 * math.sqrt(math.pi / 2) * torch.exp(-0.5 * (k * width) ** 2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_wave_numbers_end_later_for_a_tighter_tolerance():
    limits = [
        reciprocal_table(SmearedPotential(0.6, 1.0), BASES[0], MAX_ANGULAR, t).k_max
        for t in (1e-4, 1e-8, 1e-12)
    ]
    assert limits == sorted(set(limits))
    assert limits[-1] < 9 / 0.6


@pytest.mark.parametrize("field", FIELDS, ids=repr)
@basis_examples
def test_overlap_integrals(basis, field):
    """F_nl(r) with 300 angles for every radius, where the table switches between two formulas."""
    table = real_table(field, basis, MAX_ANGULAR, None, 1e-10)
    functions = orthonormalize(basis, MAX_ANGULAR)
    measure = 2 * math.pi * functions.weights * functions.r**2
    nodes, weights = roots_legendre(300)
    radii = np.array([0.0, 1e-4, 0.3, 1.3, 3.0, 6.0])
    found = table(torch.from_numpy(radii)).numpy()
    scale = np.abs(found).max()
    for r, values in zip(radii, found, strict=True):
        apart = functions.r[:, None] ** 2 + r**2 - 2 * functions.r[:, None] * r * nodes
        profile = field.profile(torch.from_numpy(np.sqrt(np.maximum(apart, 0)))).numpy()
        for l in range(MAX_ANGULAR + 1):
            angular = profile @ (weights * eval_legendre(l, nodes))
            expected = functions.values[l] @ (measure * angular)
            np.testing.assert_allclose(values[l], expected, rtol=0, atol=3e-10 * scale)


@pytest.mark.parametrize(
    "field",
    [GaussianDensity(0.1), GaussianDensity(0.2), SmearedPotential(0.1, 1.0)],
    ids=repr,
)
def test_overlap_integrals_of_narrow_fields(field):
    """Long-ranged orbitals and a narrow field: the radial nodes must follow the smearing."""
    basis = GaussianTypeOrbitals(8, 9.0)
    radii = np.array([0.1, 0.77, 2.3, 3.21, 4.9])
    found = real_table(field, basis, 2, 5.0, 1e-10)(torch.from_numpy(radii)).numpy()
    functions = orthonormalize(basis, 2, 100.0)  # 2000 nodes
    measure = functions.weights * functions.r**2
    nodes, weights = roots_legendre(500)
    scale = np.abs(found).max()
    for r, values in zip(radii, found, strict=True):
        apart = functions.r[:, None] ** 2 + r**2 - 2 * functions.r[:, None] * r * nodes
        profile = field.profile(torch.from_numpy(np.sqrt(np.maximum(apart, 0)))).numpy()
        for l in range(3):
            angular = profile @ (weights * eval_legendre(l, nodes))
            expected = 2 * math.pi * functions.values[l] @ (measure * angular)
            np.testing.assert_allclose(values[l], expected, rtol=0, atol=1e-9 * scale)


def test_overlap_of_two_gaussians_is_the_analytic_one():
    """A Gaussian field on one Gaussian orbital: l = 0 from scipy's adaptive quadrature."""
    width, smearing = 1.1, 0.5
    norm = math.sqrt(4 / (math.sqrt(math.pi) * width**3))
    table = real_table(GaussianDensity(smearing), GaussianTypeOrbitals(1, width), 0, None, 1e-10)
    for r in (0.2, 1.0, 2.5):
        height = norm * (math.pi * smearing**2) ** -0.75

        def integrand(x, r=r):
            near, far = (math.exp(-0.5 * ((x + s * r) / smearing) ** 2) for s in (-1, 1))
            # the angle is done by hand: int exp(x r c / s^2) dc = s^2 (e^+ - e^-) / (x r)
            return x * math.exp(-0.5 * (x / width) ** 2) * (near - far) * smearing**2 / r

        expected = 2 * math.pi * height * quad(integrand, 0, 12, epsabs=1e-13)[0]
        found = float(table(torch.tensor([r], dtype=torch.float64))[0, 0, 0])
        assert found == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 3.0, 6.0])
def test_long_tails_are_relative(exponent):
    """At any distance the error is relative to the tail itself, not to the value at zero."""
    table = real_table(SmearedPotential(0.6, exponent), Monomials(1, 2.0), 2, None, 1e-10)
    r = torch.tensor([1e2, 1e4, 1e6], dtype=torch.float64)
    scaled = table(r)[:, :, 0] * r[:, None] ** (exponent + torch.arange(3))
    assert ((scaled[1:] / scaled[-1] - 1).abs() < 1e-5).all()
    assert scaled[-1].abs().min() > 1e-4


def test_tables_are_made_once():
    arguments = (SmearedPotential(0.61, 1.0), Monomials(2, 2.0), 2)
    first, second = (reciprocal_table(*arguments, 1e-10) for _ in range(2))
    assert first is second
    first, second = (real_table(*arguments, None, 1e-10) for _ in range(2))
    assert first is second


@pytest.mark.parametrize("field", [GaussianDensity(0.08), SmearedPotential(0.08, 2.5)], ids=repr)
def test_a_small_smearing_in_a_large_sphere(field):
    """Where the far series, the angular quadrature and the switch between them all take part."""
    basis = Monomials(2, 5.0)
    table, functions = real_table(field, basis, 2, 9.5, 1e-10), orthonormalize(basis, 2)
    nodes, weights = roots_legendre(800)
    measure = 2 * math.pi * functions.weights * functions.r**2
    for r in (0.5, 4.0, 5.75, 6.5, 9.0):
        apart = functions.r[:, None] ** 2 + r**2 - 2 * functions.r[:, None] * r * nodes
        profile = field.profile(torch.from_numpy(np.sqrt(np.maximum(apart, 0)))).numpy()
        found = table(torch.tensor([r], dtype=torch.float64))[0].numpy()
        for l in range(3):
            angular = profile @ (weights * eval_legendre(l, nodes))
            expected = functions.values[l] @ (measure * angular)
            np.testing.assert_allclose(found[l], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("tolerance", [0.0, 1e-13, 0.1, float("nan")])
@pytest.mark.parametrize("method", [PairSum, ReciprocalSum])
def test_tolerance_out_of_range_is_named(method, tolerance):
    with pytest.raises(ValueError, match=r"tolerance is .* between 1e-12 and 0.01"):
        method(tolerance)
