"""Slopes by matrix products against backward passes and finite differences."""

from dataclasses import replace

import pytest
import torch

from crystals import random_structures
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models.pooling import pool_terms
from multilode.models.slopes import all_directions, derivatives_along, random_directions
from multilode.radial import GaussianTypeOrbitals
from multilode.representation import pooled_slopes as module
from multilode.representation.pooled_slopes import pooled_slopes, pooled_strains
from multilode.representation.representation import Representation

BASIS = GaussianTypeOrbitals(n_radial=2, radius=3.0)
RECIPE = Representation(
    fields={
        "rho": FieldExpansion(GaussianDensity(0.4), BASIS, 2, neighbor_cutoff=3.0),
        "V": FieldExpansion(SmearedPotential(smearing=0.8, exponent=1.0), BASIS, 2),
    },
    products=(("rho", "rho"), ("rho", "V"), ("V",)),
    species=(1, 6, 8),
    centers=(1, 8),
)
SLOTS = [(1,), (8,)]


def pooled(structures):
    terms = RECIPE.compute(structures).rows()
    return torch.cat(pool_terms(terms, reduce="sum", centers=RECIPE.centers), dim=1)


def by_backward_passes(structures, directions):
    positions = structures.positions.clone().requires_grad_()
    features = pooled(replace(structures, positions=positions))
    return derivatives_along(features, positions, directions)


@pytest.mark.parametrize("periodic", [0, 2, 3])
def test_slopes_are_those_of_backward_passes(periodic, monkeypatch):
    structures = random_structures(RECIPE.species, 2 if periodic else 5, periodic=periodic)
    expected = by_backward_passes(structures, all_directions(structures.counts))
    found = torch.cat(pooled_slopes(RECIPE, structures, SLOTS), dim=1)
    assert (found - expected).abs().max() < 1e-10 * expected.abs().max()
    monkeypatch.setattr(module, "_BLOCK_BYTES", 1.0)  # each structure by itself
    again = torch.cat(pooled_slopes(RECIPE, structures, SLOTS), dim=1)
    assert (again - found).abs().max() < 1e-13 * expected.abs().max()


def test_slopes_along_directions_are_those_of_backward_passes():
    structures = random_structures(RECIPE.species, 5)
    some = random_directions(structures.counts, 2, torch.Generator().manual_seed(0))
    expected = by_backward_passes(structures, some)
    found = torch.cat(pooled_slopes(RECIPE, structures, SLOTS, along=some.vectors), dim=1)
    assert (found - expected).abs().max() < 1e-10 * expected.abs().max()


@pytest.mark.parametrize("periodic", [2, 3])
def test_strains_are_finite_differences(periodic):
    structures = random_structures(RECIPE.species, 2, periodic=periodic)
    found = torch.cat(pooled_strains(RECIPE, structures, SLOTS), dim=1).unflatten(0, (-1, 3, 3))
    strain = torch.tensor([[0.3, 0.2, 0], [-0.1, 0.5, 0], [0, 0, 0]]).double()
    if periodic == 3:
        strain[2] = torch.tensor([0.2, -0.4, 0.1])

    def strained(step):
        return replace(
            structures,
            positions=structures.positions + step * structures.positions @ strain,
            cell=structures.cell + step * structures.cell @ strain,
        )

    expected = (pooled(strained(1e-4)) - pooled(strained(-1e-4))) / 2e-4
    own = torch.einsum("sabf,ab->sf", found, strain)
    assert (own - expected).abs().max() < 1e-6 * expected.abs().max()
