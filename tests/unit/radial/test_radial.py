import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import spherical_jn

from multilode.radial import (
    RADIAL_BASES,
    GaussianTypeOrbitals,
    LaplacianEigenstates,
    Monomials,
    TabulatedBasis,
    orthonormalize,
)
from multilode.radial.laplacian_eigenstates import spherical_bessel_zeros
from multilode.radial.orthonormal import DEPENDENCE_THRESHOLD


def test_gto_follow_their_formula():
    """r^n exp(-r^2 / 2 s_n^2) with s_n = r_c max(sqrt n, 1) / n_max, the same for every l."""
    r = np.linspace(0.1, 5, 30)
    values = GaussianTypeOrbitals(4, 3.0).primitives(r, 2)
    for n, row in enumerate(values):
        width = 3.0 * max(math.sqrt(n), 1) / 4
        expected = r**n * np.exp(-0.5 * (r / width) ** 2)
        np.testing.assert_allclose(row / row[0], expected / expected[0], rtol=1e-12)


@pytest.mark.parametrize("n_radial", [2, 4, 8])
def test_gto_overlaps_are_the_analytic_ones(n_radial):
    """S_nm = G(n + m) / sqrt(G(2n) G(2m)) decides S^(-1/2), here from Gamma functions."""
    basis = GaussianTypeOrbitals(n_radial, 4.0)
    widths = [4.0 * max(math.sqrt(n), 1) / n_radial for n in range(n_radial)]

    def overlap(n, m):
        a = 0.5 / widths[n] ** 2 + 0.5 / widths[m] ** 2
        return math.gamma((n + m + 3) / 2) / (2 * a ** ((n + m + 3) / 2))

    norms = [math.sqrt(overlap(n, n)) for n in range(n_radial)]
    matrix = np.array(
        [[overlap(n, m) / norms[n] / norms[m] for m in range(n_radial)] for n in range(n_radial)]
    )
    eigenvalues, vectors = np.linalg.eigh(matrix)
    functions = orthonormalize(basis, 1)
    raw = np.array(
        [
            functions.r**n * np.exp(-0.5 * (functions.r / widths[n]) ** 2) / norms[n]
            for n in range(n_radial)
        ]
    )
    expected = vectors / np.sqrt(eigenvalues) @ vectors.T @ raw
    slack = 1e-14 / eigenvalues[0]
    np.testing.assert_allclose(
        functions.values[0], expected, rtol=0, atol=slack * abs(expected).max()
    )
    np.testing.assert_array_equal(functions.values[0], functions.values[1])
    assert functions.dependence[0] == pytest.approx(eigenvalues[0] / eigenvalues[-1], rel=1e-4)


def test_lowest_monomial_is_a_power():
    functions = orthonormalize(Monomials(1, 1.7), 5)
    for l in range(6):
        norm = math.sqrt((2 * l + 3) / 1.7 ** (2 * l + 3))
        np.testing.assert_allclose(functions.values[l, 0], norm * functions.r**l, rtol=1e-12)


def test_laplacian_eigenstates_vanish_on_the_sphere_and_are_orthogonal_already():
    basis = LaplacianEigenstates(5, 2.5)
    for l in range(5):
        assert np.abs(basis.primitives(np.array([2.5]), l)).max() < 1e-13
    functions = orthonormalize(basis, 4)
    assert (functions.dependence > 1 - 1e-10).all()
    zeros = spherical_bessel_zeros(3, 5)
    expected = spherical_jn(3, zeros[1] * functions.r / 2.5)
    norm = quad(lambda x: (x * spherical_jn(3, zeros[1] * x / 2.5)) ** 2, 0, 2.5)[0]
    np.testing.assert_allclose(functions.values[3, 1], expected / math.sqrt(norm), atol=1e-9)


@pytest.mark.parametrize("l", [0, 1, 4, 9])
def test_bessel_zeros(l):
    zeros = spherical_bessel_zeros(l, 6)
    assert len(zeros) == 6
    assert np.abs(spherical_jn(l, zeros)).max() < 1e-13
    grid = spherical_jn(l, np.linspace(1e-3, zeros[-1] + 0.5, 20000))
    crossings = int((np.diff(np.sign(grid[np.abs(grid) > 0])) != 0).sum())
    assert crossings == 6  # none was left out


def test_dependent_functions_are_dropped_and_reported():
    twins = TabulatedBasis.from_function(
        lambda r: np.stack([(2 - r) ** 2, (2 - r) ** 3, (2 - r) ** 2 * (1 + 1e-9 * r)]), 2.0
    )
    functions = orthonormalize(twins, 2)
    assert (functions.n_primitives, functions.n_radial) == (3, 2)
    assert functions.dependence.max() < DEPENDENCE_THRESHOLD
    measure = functions.weights * functions.r**2
    overlap = np.einsum("lnr,lmr,r->lnm", functions.values, functions.values, measure)
    np.testing.assert_allclose(overlap, np.broadcast_to(np.eye(2), overlap.shape), atol=1e-9)


@pytest.mark.parametrize("n_radial", [14, 30])
def test_nearly_dependent_functions_are_the_same_for_every_wave_number(n_radial):
    """Tables in real and in reciprocal space use different nodes and must share one basis."""
    first, second = (
        orthonormalize(GaussianTypeOrbitals(n_radial, 5.0), 1, k_max) for k_max in (0.0, 30.0)
    )
    found, expected = (f.values @ (f.weights * f.r**2 * np.sinc(f.r / 3)) for f in (first, second))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_a_large_gto_basis_says_how_dependent_it_is():
    small, large = (orthonormalize(GaussianTypeOrbitals(n, 5.0), 0) for n in (4, 12))
    assert large.dependence[0] < 1e-4 * small.dependence[0]
    assert (large.n_primitives, large.n_radial <= 12) == (12, True)


def test_tabulated_functions_come_back():
    def shapes(r):
        return np.stack([np.exp(-r) * (3 - r) ** 2, np.sin(r) * (3 - r) ** 2])

    basis = TabulatedBasis.from_function(shapes, 3.0)
    assert basis.n_radial == 2
    r = np.linspace(0, 3, 101)
    nodes, _ = basis.quadrature(0.0)
    np.testing.assert_array_equal(basis.primitives(nodes, 0), shapes(nodes))
    # between the nodes a Legendre series, whose rounding errors add up at both ends
    np.testing.assert_allclose(basis.primitives(r, 0), shapes(r), rtol=0, atol=1e-8)
    assert (basis.primitives(np.array([3.01, 9.0]), 0) == 0).all()
    assert basis == TabulatedBasis.from_function(shapes, 3.0)
    assert hash(basis) == hash(TabulatedBasis.from_function(shapes, 3.0))


def test_a_tabulated_basis_equals_the_one_it_copies():
    copied = TabulatedBasis.from_function(lambda r: np.stack([r**0, r**2]), 2.0)
    mine, theirs = orthonormalize(copied, 0), orthonormalize(Monomials(2, 2.0), 0)
    # the same space and Löwdin's choice in it: the same functions, seen on either grid
    expected = [np.interp(1.234, f.r, f.values[0, 1]) for f in (mine, theirs)]
    assert expected[0] == pytest.approx(expected[1], rel=1e-3)
    moments = [f.values[0] @ (f.weights * f.r**2) for f in (mine, theirs)]
    np.testing.assert_allclose(moments[0], moments[1], rtol=1e-10)


@pytest.mark.parametrize("make", [GaussianTypeOrbitals, Monomials, LaplacianEigenstates])
def test_bad_sizes(make):
    for n_radial in (0, -1, 100):
        with pytest.raises(ValueError, match=f"n_radial is {n_radial}; .* 1 to 64"):
            make(n_radial, 3.0)
    for cutoff in (0.0, -2.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"radius of a radial basis is .* positive"):
            make(3, cutoff)


def test_bad_tables():
    with pytest.raises(ValueError, match="not finite"):
        TabulatedBasis.from_function(lambda r: np.full((1, len(r)), np.nan), 2.0)
    with pytest.raises(ValueError, match=r"must map 400 radii .* returned shape \(400,\)"):
        TabulatedBasis.from_function(lambda r: r, 2.0)
    with pytest.raises(ValueError, match="holds 400 values per function"):
        TabulatedBasis(((1.0, 2.0),), 2.0)


def test_table():
    assert set(RADIAL_BASES) == {"gto", "monomial", "laplacian", "tabulated"}


def test_number_of_functions_is_a_whole_number():
    """Also where it was swapped with the cutoff."""
    with pytest.raises((ValueError, TypeError)):
        GaussianTypeOrbitals(3.5, 4.0)
