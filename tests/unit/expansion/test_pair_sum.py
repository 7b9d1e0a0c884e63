"""Blocks of pairs, and pairs that are computed again in the backward pass, change no number."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from crystals import structures_of, triclinic_perovskite
from multilode.correlations import power_spectrum
from multilode.expansion import FieldExpansion, PairSum, expand
from multilode.expansion.pairs import groups
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.numerics.limits import limits
from multilode.radial import GaussianTypeOrbitals, Monomials
from multilode.radial.tables import real_table
from multilode.structures.batch import Structures
from multilode.symmetry.harmonics import spherical_harmonics
from often import often
from quadrature import coefficients_by_quadrature

EXPANSION = FieldExpansion(SmearedPotential(0.7, 1.0), Monomials(2, 2.0), 2)


def cluster(atoms=slice(None)):
    generator = torch.Generator().manual_seed(3)
    positions = 4 * torch.rand(9, 3, generator=generator, dtype=torch.float64)
    kinds = np.array([1, 1, 1, 1, 6, 6, 8, 8, 8])
    isolated = np.zeros(3, dtype=bool)
    return Structures.from_arrays(
        [positions.numpy()[atoms]], [kinds[atoms]], [np.zeros((3, 3))], [isolated]
    )


def coefficients(positions, structures):
    moved = replace(structures, positions=positions)
    blocks = expand(EXPANSION, moved, species=(1, 6, 8)).blocks
    return torch.cat([blocks[irrep].flatten() for irrep in sorted(blocks)])


@pytest.fixture
def small_blocks():
    """Of some pairs each, computed again in the backward pass."""
    with limits(block_bytes=1500, kept_bytes=0):
        yield


def value_and_gradient(structures):
    positions = structures.positions.clone().requires_grad_()
    values = coefficients(positions, structures)
    cotangent = torch.linspace(-1, 1, len(values), dtype=torch.float64)
    return values.detach(), torch.autograd.grad(values, positions, cotangent)[0]


def test_blocks_change_nothing(request):
    structures = cluster()
    whole = value_and_gradient(structures)
    request.getfixturevalue("small_blocks")
    for ours, expected in zip(value_and_gradient(structures), whole, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.usefixtures("small_blocks")
def test_second_derivatives_of_recomputed_blocks():
    structures = cluster(slice(2, 8))  # 30 pairs: two blocks
    positions = structures.positions.clone().requires_grad_()

    def one_number(p):
        values = coefficients(p, structures)
        return (values * torch.cos(values)).sum()

    assert torch.autograd.gradcheck(one_number, (positions,))
    assert torch.autograd.gradgradcheck(one_number, (positions,))


def test_atoms_in_the_same_place_are_named():
    structures = cluster()
    positions = structures.positions.clone()
    positions[7] = positions[2]
    with pytest.raises(ValueError, match="structure 0: its atoms 2 and 7 are in the same place"):
        coefficients(positions, structures)


RADIAL = [Monomials(2, 2.0), GaussianTypeOrbitals(3, 2.0)]


@pytest.mark.parametrize(
    ("radial", "exponent"),
    often(itertools.product(RADIAL, (6.5, 9.0, 14.0)), [(RADIAL[0], 14.0), (RADIAL[1], 6.5)]),
)
def test_fields_wider_than_the_basis_that_fall_off_fast(radial, exponent):
    """Nearly flat within the basis: coefficients of high l are small, and right by themselves."""
    structures = cluster()
    expansion = FieldExpansion(SmearedPotential(3.0, exponent), radial, 3)
    centers = torch.arange(0, structures.n_atoms, 3)
    method = PairSum(1e-10)
    found = expand(expansion, structures, species=(1, 6, 8), centers=centers, method=method)
    expected = coefficients_by_quadrature(expansion, structures, (1, 6, 8), tuple(centers.tolist()))
    for irrep, exact in expected.blocks.items():
        assert (found.blocks[irrep] - exact).abs().max() < 1e-9 * exact.abs().max()


def test_uneven_groups_against_a_loop():
    """A dense cluster and outliers: chunks of several lengths, species that some centers lack."""
    generator = torch.Generator().manual_seed(5)
    dense = 2.5 * torch.randn(70, 3, generator=generator, dtype=torch.float64)
    far = 8.0 * torch.randn(20, 3, generator=generator, dtype=torch.float64)
    positions = torch.cat([dense, far, torch.full((1, 3), 90.0, dtype=torch.float64)])
    kinds = np.where(np.arange(len(positions)) % 9 == 0, 8, 1)
    structures = Structures.from_arrays(
        [positions.numpy()], [kinds], [np.zeros((3, 3))], [np.zeros(3, dtype=bool)]
    )
    expansion = replace(EXPANSION, neighbor_cutoff=3.0, center_weight=0.0)
    centers = torch.arange(0, len(positions), 3)
    method = PairSum(1e-10)
    found = expand(expansion, structures, species=(1, 6, 8), centers=centers, method=method)
    table = real_table(expansion.field, expansion.basis, 2, 3.0, 1e-10)
    for irrep, block in found.blocks.items():
        l = irrep.degree
        for row, i in enumerate(centers.tolist()):
            vectors = positions - positions[i]
            r = vectors.norm(dim=1)
            near = (r < 3.0) & (r > 0)
            weight = expansion.cutoff_function(r[near], 3.0)
            radial = table(r[near])[:, l] * weight[:, None]
            angular = spherical_harmonics(vectors[near], l)[:, l * l :]
            for a, kind in enumerate((1, 6, 8)):
                mine = torch.from_numpy(kinds == kind)[near]
                expected = angular[mine].T @ radial[mine]
                columns = slice(a * table.n_radial, (a + 1) * table.n_radial)
                torch.testing.assert_close(block[row][:, columns], expected, rtol=1e-10, atol=1e-10)


def test_second_derivatives_through_several_chunks(monkeypatch):
    monkeypatch.setattr(groups, "_CHUNK_LENGTHS", (1, 2))
    monkeypatch.setattr(groups, "_CHUNK_COST", 0)
    structures = cluster()
    positions = structures.positions.clone().requires_grad_()
    expansion = replace(EXPANSION, neighbor_cutoff=3.0)

    def one_number(p):
        blocks = expand(expansion, replace(structures, positions=p), species=(1, 6, 8)).blocks
        return sum((b * torch.cos(b)).sum() for b in blocks.values())

    assert torch.autograd.gradcheck(one_number, (positions,))
    assert torch.autograd.gradgradcheck(one_number, (positions,))


def test_single_precision():
    """The whole way, atoms some cells away included: to the rounding of their coordinates."""
    density = FieldExpansion(
        GaussianDensity(0.4), GaussianTypeOrbitals(6, 4.0), 4, neighbor_cutoff=4.0
    )
    atoms = triclinic_perovskite()
    atoms.positions += np.round(np.sin(np.arange(len(atoms)))[:, None] * 3) @ atoms.cell[:1]
    double = structures_of(atoms)
    results = []
    for structures in (double, double.to(dtype=torch.float32)):
        positions = structures.positions.clone().requires_grad_()
        kinds = tuple(sorted(set(atoms.numbers.tolist())))
        field = expand(density, replace(structures, positions=positions), species=kinds)
        values = power_spectrum(field, field)
        cotangent = torch.cos(torch.arange(values.numel(), dtype=torch.float64))
        cotangent = cotangent.reshape(values.shape).to(values)
        (slope,) = torch.autograd.grad(values, positions, cotangent)
        results.append((values.detach(), slope))
    for expected, single in zip(*results, strict=True):
        assert single.dtype == torch.float32
        assert (single.double() - expected).abs().max() < 1e-5 * expected.abs().max()


def test_atoms_without_neighbors():
    structures = cluster()
    apart = replace(structures, positions=100 * structures.positions)
    blocks = expand(
        replace(EXPANSION, neighbor_cutoff=3.0, center_weight=0.0), apart, species=(1, 6, 8)
    )
    assert all(not bool(block.any()) for block in blocks.blocks.values())
