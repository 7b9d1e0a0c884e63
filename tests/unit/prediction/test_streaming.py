"""Fits that store no rows: slopes against backward passes, solutions against stored rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models import Ridge, TargetRegression
from multilode.models.pooling import pool_terms
from multilode.models.slopes import all_directions, derivatives_along, random_directions
from multilode.models.solve.descent import best_regularization
from multilode.models.targets import Forces, Target
from multilode.numerics.limits import limits
from multilode.prediction import training
from multilode.prediction.baseline import NoBaseline
from multilode.prediction.training import train
from multilode.radial import GaussianTypeOrbitals
from multilode.representation.channel_fit import with_channels
from multilode.representation.pooled_slopes import pooled_slopes, pooled_strains
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures

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
ENERGY = Target(key="energy")


def molecules(n, *, periodic=False, seed=0):
    """Random atoms, at least 0.9 Å apart; structures of different sizes and orders of species."""
    generator = np.random.default_rng(seed)
    positions, species = [], []
    for k in range(n):
        size = 3 + k % 4
        while True:
            places = generator.uniform(0, 4, (size, 3))
            apart = np.linalg.norm(places[:, None] - places, axis=2) + 9 * np.eye(size)
            if apart.min() > 0.9:
                break
        positions.append(places)
        species.append(generator.choice([1, 6, 8], size))
    cell = 6 * np.eye(3) + 0.3 if periodic else np.zeros((3, 3))
    return Structures.from_arrays(positions, species, [cell] * n, [np.full(3, periodic)] * n)


def by_backward_passes(recipe, structures, directions):
    positions = structures.positions.clone().requires_grad_()
    features = recipe.compute(replace(structures, positions=positions)).rows()
    terms = pool_terms(features, reduce="sum", centers=recipe.centers)
    return derivatives_along(torch.cat(terms, dim=1), positions, directions)


@pytest.mark.parametrize("channels", [None, 3])
@pytest.mark.parametrize("periodic", [False, True])
def test_slopes_are_those_of_backward_passes(channels, periodic):
    structures = molecules(2 if periodic else 5, periodic=periodic)
    structures = replace(structures, species=structures.species.clamp(min=1))
    recipe = with_channels(RECIPE, molecules(12, seed=3), channels)
    slots = [(1,), (8,)]
    everything = all_directions(structures.counts)
    expected = by_backward_passes(recipe, structures, everything)
    found = torch.cat(pooled_slopes(recipe, structures, slots), dim=1)
    assert (found - expected).abs().max() < 1e-10 * expected.abs().max()
    some = random_directions(structures.counts, 2, torch.Generator().manual_seed(0))
    expected = by_backward_passes(recipe, structures, some)
    found = torch.cat(pooled_slopes(recipe, structures, slots, along=some.vectors), dim=1)
    assert (found - expected).abs().max() < 1e-10 * expected.abs().max()


def test_strains_are_those_of_backward_passes():
    structures = molecules(2, periodic=True)
    strain = torch.zeros(2, 3, 3, dtype=torch.float64).requires_grad_()
    moved = torch.einsum("ax,axy->ay", structures.positions, strain[structures.structure_index])
    bent = replace(
        structures,
        positions=structures.positions + moved,
        cell=structures.cell + structures.cell @ strain,
    )
    terms = pool_terms(RECIPE.compute(bent).rows(), reduce="sum", centers=None)
    found = torch.cat(pooled_strains(RECIPE, structures, [(1, 8)]), dim=1)
    for k, column in enumerate(torch.cat(terms, dim=1).sum(dim=0)[::7]):
        (expected,) = torch.autograd.grad(column, strain, retain_graph=True)
        own = found.unflatten(0, (2, 3, 3))[..., 7 * k]
        assert torch.allclose(own, expected, atol=1e-9 * float(expected.abs().max() + 1))


def learned(n, *, dense, monkeypatch, **settings):
    """A model of energies and forces of a function of distances."""
    structures = molecules(n)
    positions = structures.positions.clone().requires_grad_()
    energies = torch.zeros(n, dtype=torch.float64)
    for k in range(n):
        own = positions[structures.structure_index == k]
        kinds = structures.species[structures.structure_index == k].double()
        far = torch.cdist(own, own) + 1e3 * torch.eye(len(own))
        energies[k] = (kinds[:, None] * kinds * torch.exp(-far)).sum()
    (slopes,) = torch.autograd.grad(energies.sum(), positions)
    monkeypatch.setattr(training, "DENSE_ROWS", 1e9 if dense else 0)
    return structures, train(
        RECIPE,
        structures,
        ENERGY,
        y=energies.detach(),
        forces=Forces(values=-slopes),
        baseline=NoBaseline(),
        estimator=Ridge(**settings),
    )


def test_streamed_fit_is_that_of_stored_rows(monkeypatch):
    given = {"regularization": 1e-5, "term_weights": (1.0, 0.3, 0.1)}
    structures, stored = learned(12, dense=True, monkeypatch=monkeypatch, **given)
    _, streamed = learned(12, dense=False, monkeypatch=monkeypatch, **given)
    for own, other in zip(streamed.model.weights, stored.model.weights, strict=True):
        assert (own - other).abs().max() < 1e-8 * other.abs().max()
    assert streamed.model.scales == pytest.approx(stored.model.scales)
    found, expected = (model.predict(structures).values for model in (streamed, stored))
    assert (found - expected).abs().max() < 1e-8 * expected.abs().max()


def test_streamed_cross_validation_is_that_of_stored_rows(monkeypatch):
    given = {"term_weights": (1.0, 0.3, 0.1), "folds": 3}
    _, stored = learned(14, dense=True, monkeypatch=monkeypatch, **given)
    _, streamed = learned(14, dense=False, monkeypatch=monkeypatch, **given)
    (own,), (other,) = streamed.model.cv_table, stored.model.cv_table
    assert own.regularization == pytest.approx(other.regularization, rel=1e-6)
    assert own.judged == pytest.approx(other.judged, rel=1e-6)
    assert own.rmse == pytest.approx(other.rmse, rel=1e-6)


def test_too_little_memory_names_the_channels_that_fit(monkeypatch):
    with limits(memory=1.0), pytest.raises(ValueError, match="use channels: 1 "):
        learned(12, dense=False, monkeypatch=monkeypatch, regularization=1e-5)


def test_the_next_minimum_of_the_grid_is_found():
    found = best_regularization(lambda g: ((np.log10(g) + 3) ** 2, None), 1e-7)
    assert found.regularization == pytest.approx(1e-3)
