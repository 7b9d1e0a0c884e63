"""Radial functions made for a training set."""

import numpy as np
import pytest
import torch

from multilode.correlations import power_spectrum
from multilode.expansion import FieldExpansion, expand
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.radial import GaussianTypeOrbitals, LaplacianEigenstates, orthonormalize
from multilode.representation.basis_optimization import optimized_basis
from multilode.structures.batch import Structures

FIELDS = {
    "rho": FieldExpansion(
        GaussianDensity(0.4), GaussianTypeOrbitals(7, 3.0), 2, neighbor_cutoff=3.0
    ),
    "V": FieldExpansion(SmearedPotential(0.6, 1.0), GaussianTypeOrbitals(7, 3.0), 2),
}


def crystals(n, seed):
    generator = np.random.default_rng(seed)
    cells = [np.eye(3) * generator.uniform(4, 5) for _ in range(n)]
    return Structures.from_arrays(
        [generator.random((6, 3)) @ cell for cell in cells],
        [np.array([1, 1, 8, 8, 1, 8])] * n,
        cells,
        [np.ones(3)] * n,
    )


def coefficients(expansion, structures):
    """About their means, [rows, n]."""
    found = expand(expansion, structures, species=(1, 8))
    rows = []
    for irrep, block in found.blocks.items():
        parts = block.unflatten(2, (2, -1))
        if irrep.degree == 0:
            parts = parts - parts.mean(dim=0)
        rows.append(parts.flatten(0, 2))
    return torch.cat(rows)


@pytest.mark.parametrize("name", FIELDS)
def test_functions_keep_the_largest_eigenvalues_of_the_covariance(name):
    structures = crystals(8, seed=0)
    whole = coefficients(FIELDS[name], structures)
    squares = torch.linalg.svdvals(whole).square()
    for n in (1, 3):
        optimized, kept = optimized_basis(FIELDS[name], structures, n)
        mine = coefficients(optimized, structures).square().sum()
        assert float(mine / squares.sum()) == pytest.approx(kept, rel=1e-6)
        assert float(mine) == pytest.approx(float(squares[:n].sum()), rel=1e-6)
        few = FieldExpansion(
            FIELDS[name].field,
            GaussianTypeOrbitals(n, 3.0),
            2,
            neighbor_cutoff=FIELDS[name].neighbor_cutoff,
        )
        assert coefficients(few, structures).square().sum() < mine


def test_functions_are_orthonormal_and_all_of_them_are_the_basis_itself():
    structures = crystals(8, seed=1)
    optimized, kept = optimized_basis(FIELDS["rho"], structures, 7)
    assert kept == pytest.approx(1.0, abs=1e-12)
    functions = orthonormalize(optimized.basis, 2)
    overlap = (functions.values[1] * functions.weights * functions.r**2) @ functions.values[1].T
    np.testing.assert_allclose(overlap, np.eye(7), atol=1e-9)
    new = crystals(3, seed=2)
    spectra = [
        power_spectrum(found, found)
        for found in (expand(e, new, species=(1, 8)) for e in (FIELDS["rho"], optimized))
    ]
    grams = [x @ x.T for x in spectra]
    torch.testing.assert_close(grams[0], grams[1], rtol=1e-6, atol=1e-10)


def test_new_structures_lose_little_more():
    optimized, kept = optimized_basis(FIELDS["V"], crystals(20, seed=3), 3)
    new = crystals(20, seed=4)
    shares = [coefficients(e, new).square().sum() for e in (optimized, FIELDS["V"])]
    assert 1 - float(shares[0] / shares[1]) < 2 * (1 - kept)


def test_what_cannot_be_optimized_says_so():
    structures = crystals(2, seed=5)
    sphere = FieldExpansion(
        GaussianDensity(0.4), LaplacianEigenstates(5, 3.0), 2, neighbor_cutoff=3.0
    )
    with pytest.raises(ValueError, match="LaplacianEigenstates differ between l"):
        optimized_basis(sphere, structures, 2)
    with pytest.raises(ValueError, match="between 1 and the 7"):
        optimized_basis(FIELDS["rho"], structures, 8)


@pytest.mark.parametrize("name", FIELDS)
def test_without_variance_there_is_nothing_to_optimize(name):
    """One isolated atom gave a fraction that is not a number, and functions that mean nothing."""
    alone = Structures.from_arrays(
        [np.zeros((1, 3))] * 3, [np.array([8])] * 3, [np.zeros((3, 3))] * 3, [np.zeros(3)] * 3
    )
    with pytest.raises(ValueError, match="no variance for radial functions"):
        optimized_basis(FIELDS[name], alone, 2)
    with pytest.raises(ValueError, match="there are no atoms"):
        optimized_basis(FIELDS[name], alone.select([]), 2)
