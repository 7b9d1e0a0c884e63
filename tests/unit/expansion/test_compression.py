"""A few radial functions of k stand for all (n, l) of a basis."""

import numpy as np
import pytest
import torch

from multilode.expansion.mesh.compression import compress, largest_wave
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.radial import GaussianTypeOrbitals, LaplacianEigenstates, Monomials, orthonormalize
from multilode.radial.quadratures import bessel_integrals

BASES = {
    "gto": (GaussianTypeOrbitals(6, 3.0), 4),
    "monomial": (Monomials(2, 2.5), 6),
    "laplacian": (LaplacianEigenstates(4, 3.0), 3),
}
FIELDS = [SmearedPotential(1.0, 1.0), SmearedPotential(0.5, 6.0), GaussianDensity(0.7)]


def by_quadrature(basis, max_angular, k):
    """I_nl(k), [k, l, n], by an integration rule of its own."""
    functions = orthonormalize(basis, max_angular, 30.0)
    return bessel_integrals(functions, k).reshape(len(k), max_angular + 1, -1)


def relative_errors(field, basis, max_angular, tolerance):
    """For each l: root mean square over waves of v^ dI_nl k, over that of the largest n."""
    compression = compress(field, basis, max_angular, tolerance)
    k = np.linspace(0.03, 1.0, 301) * compression.k_max  # not the waves of the fit
    exact = by_quadrature(basis, max_angular, k)
    functions = compression.functions(torch.from_numpy(k)).numpy()
    weight = np.abs(field.fourier(torch.from_numpy(k)).numpy()) * k
    errors = []
    for l, radial in enumerate(compression.maps):
        made = k[:, None] ** l * (functions @ radial.numpy())
        size = np.linalg.norm(exact[:, l] * weight[:, None], axis=0).max()
        wrong = np.linalg.norm((made - exact[:, l]) * weight[:, None], axis=0).max()
        errors.append(wrong / size)
    return errors, compression


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("field", FIELDS, ids=repr)
@pytest.mark.parametrize("basis", BASES)
def test_integrals_come_back(basis, field, tolerance):
    errors, compression = relative_errors(field, *BASES[basis], tolerance)
    assert max(errors) < 0.3 * tolerance
    assert compression.maps[0].shape[0] == compression.n_functions


@pytest.mark.parametrize("basis", BASES)
def test_fewer_functions_than_radial_channels(basis):
    radial, max_angular = BASES[basis]
    counts = [
        compress(SmearedPotential(1.0, 1.0), radial, max_angular, t).n_functions
        for t in (1e-2, 1e-5, 1e-8)
    ]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1] < 0.6 * radial.n_radial * (max_angular + 1)


def test_the_largest_wave_leaves_out_nothing_that_matters():
    field, (basis, max_angular) = SmearedPotential(0.7, 1.0), BASES["gto"]
    previous = 0.0
    for tolerance in (1e-3, 1e-6, 1e-9):
        k_max = largest_wave(field, basis, max_angular, tolerance)
        assert k_max > previous
        previous = k_max
        k = np.linspace(1e-3, 2 * k_max, 4000)
        weight = (
            np.abs(field.fourier(torch.from_numpy(k)).numpy())[:, None, None]
            * k[:, None, None] ** 2
        )
        absolute = np.abs(by_quadrature(basis, max_angular, k)) * weight
        beyond = absolute[k > k_max].sum(axis=0).max(axis=1) / absolute.sum(axis=0).max(axis=1)
        assert beyond.max() < tolerance


@pytest.mark.parametrize("exponent", [3.5, 6.0])
def test_the_mean_of_a_crystal_is_kept(exponent):
    """For p > 3 k = 0 is a wave too, however far away the other waves of a small cell are."""
    field, (basis, max_angular) = SmearedPotential(1.0, exponent), BASES["gto"]
    compression = compress(field, basis, max_angular, 1e-6, 2.5)
    found = compression.functions(torch.zeros(1, dtype=torch.float64)) @ compression.maps[0]
    expected = by_quadrature(basis, 0, np.array([1e-7]))[0, 0]
    assert np.abs(found[0].numpy() - expected).max() < 1e-6 * np.abs(expected).max()
