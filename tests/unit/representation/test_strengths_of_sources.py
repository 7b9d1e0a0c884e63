"""Sources that are given, follow from their surroundings or are fitted; fragments."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from crystals import random_structures, structures_of, water_in_box, water_molecule
from multilode.config.store import load, save
from multilode.data.dataset import DataError, Dataset
from multilode.data.inputs import as_dataset
from multilode.models import Network, Ridge, SparseKernelRidge
from multilode.models.pooling import pool_terms
from multilode.models.solve.group_errors import (
    group_members,
    left_out_of_kernel,
    left_out_residuals,
)
from multilode.models.targets import Target
from multilode.prediction.training import train
from multilode.representation.feature_recipe import FeatureRecipe, features
from multilode.representation.representation import Representation
from multilode.representation.sources import DescribedSources, GivenSources
from multilode.representation.sources.recipes import Described, Fitted, Given
from multilode.structures.batch import Structures
from multilode.symmetry.irrep import Irrep
from multilode.testing import check_sources
from toy_tensors import FIELDS

SPECIES = (1, 6, 8)
RECIPE = Representation(
    fields=FIELDS, products=(("rho", "rho"), ("rho", "V")), species=SPECIES, centers=SPECIES
)
PBC = [(True, True, True), (True, True, False), (True, False, False), (False, False, False)]
pytestmark = pytest.mark.filterwarnings("ignore:surroundings vary in fewer")


def some(n=4, seed=0):
    return random_structures(SPECIES, n, seed=seed)


def in_cells(structures, pbc):
    n = structures.n_structures
    cell = torch.diag(torch.tensor([9.0, 10.0, 11.0], dtype=torch.float64)).repeat(n, 1, 1)
    return replace(structures, cell=cell, pbc=torch.tensor([pbc]).repeat(n, 1))


def described(structures, components=2, *, responding=False):
    one = Described(components=components, cutoff=3.0, responding=responding)
    return one.start("V", RECIPE, structures, 0)


def test_given_strengths_of_one_and_zero_are_species():
    structures = some()
    arrays = {str(z): (structures.species == z).double() for z in SPECIES}
    recipe = replace(RECIPE, sources={"V": GivenSources(keys=tuple(arrays))})
    found = recipe.compute(replace(structures, arrays=arrays))
    for mine, other in zip(found.invariants, RECIPE.compute(structures).invariants, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)


def test_sources_of_a_density_count_like_those_of_a_potential():
    structures = some()
    recipe = replace(RECIPE, products=(("rho",),), fields={"rho": FIELDS["rho"]})
    charged = replace(structures, arrays={"q": torch.full((structures.n_atoms,), 2.0)})
    found = replace(recipe, sources={"rho": GivenSources(keys=("q",))}).compute(charged)
    (each,) = recipe.compute(structures).invariants
    apart = each.unflatten(1, (len(SPECIES), -1)).sum(dim=1)
    torch.testing.assert_close(found.invariants[0], 2 * apart, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("responding", [False, True])
@pytest.mark.parametrize("pbc", PBC)
def test_described_sources_pass_the_checks(pbc, responding):
    structures = in_cells(some(3), pbc)
    check_sources(described(structures, responding=responding), structures, tolerance=1e-6)


def test_given_sources_pass_the_checks():
    structures = some(3)
    charges = torch.cos(torch.arange(structures.n_atoms).double())
    check_sources(GivenSources(keys=("q",)), replace(structures, arrays={"q": charges}))


def test_constants_are_species_and_components_have_a_variance_of_one():
    structures = some(12)
    sources = described(structures, components=3)
    found = sources.strengths(structures)
    constants = sources.weights.abs().sum(dim=(0, 1)) == 0
    members = torch.stack([structures.species == z for z in SPECIES], dim=1).double()
    torch.testing.assert_close(found[:, constants], members, rtol=0, atol=0)
    for column in found[:, ~constants].T:
        own = column[column != 0]
        assert float(own.mean()) == pytest.approx(0, abs=1e-8)
        assert float(own.square().mean()) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("pbc", PBC)
def test_forces_contain_the_changes_of_strengths(pbc):
    """Also that of an atom which is far from the center but near to a source."""
    structures = in_cells(some(2, seed=3), pbc)
    recipe = replace(RECIPE, sources={"V": described(structures)}, tolerance=1e-10)
    weights = [
        torch.cos(torch.arange(t.shape[1]).double()) for t in recipe.compute(structures).invariants
    ]

    def total(positions):
        found = recipe.compute(replace(structures, positions=positions)).invariants
        return sum((term @ w).sum() for term, w in zip(found, weights, strict=True))

    positions = structures.positions.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(positions), positions)
    for atom, axis in ((0, 0), (structures.n_atoms - 1, 2)):
        step = torch.zeros_like(positions)
        step[atom, axis] = 1e-5
        with torch.no_grad():
            difference = (total(positions + step) - total(positions - step)) / 2e-5
        assert float(gradient[atom, axis]) == pytest.approx(float(difference), rel=2e-6, abs=1e-7)


def test_features_of_fragments_are_subtracted_wherever_their_atoms_stand():
    structures = some(3)
    labels = torch.tensor([5.0, 2.0]).repeat(structures.n_atoms)[: structures.n_atoms]
    marked = replace(structures, arrays={"monomer": labels})
    recipe = replace(RECIPE, fragments="monomer", sources={"V": described(structures)})
    found = recipe.compute(marked)
    plain = replace(recipe, fragments=None)
    expected = pooled(plain.compute(structures))
    for label in (2.0, 5.0):
        chosen = labels == label
        part = replace(
            structures,
            positions=structures.positions[chosen],
            species=structures.species[chosen],
            structure_index=structures.structure_index[chosen],
        )
        expected = [x - y for x, y in zip(expected, pooled(plain.compute(part)), strict=True)]
    for mine, other in zip(pooled(found), expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)
    assert found.structure_index.tolist() == structures.structure_index.tolist()


def pooled(found):
    rows = found.rows(Irrep(0))
    return pool_terms(rows, reduce="sum", centers=SPECIES)


def test_interactions_vanish_with_the_distance_as_their_exponents_say():
    water = water_molecule()
    far = []
    for distance in (20.0, 40.0):
        pair = water.copy()
        moved = water.copy()
        moved.positions += [distance, 0, 0]
        far.append(structures_of(pair + moved))
    recipe = Representation(
        fields=FIELDS, products=(("V",),), species=(1, 8), centers=(1, 8), fragments="monomer"
    )
    labels = torch.tensor([0.0, 0, 0, 1, 1, 1])
    values = [
        recipe.compute(replace(one, arrays={"monomer": labels})).invariants[0].abs().max()
        for one in far
    ]
    assert float(values[0] / values[1]) == pytest.approx(2, rel=0.05)  # 1/r


def of_kernel(rows, y, penalty, members):
    return left_out_of_kernel(rows @ rows.T, y, penalty, members)


@pytest.mark.parametrize("form", [left_out_residuals, of_kernel])
@pytest.mark.parametrize("n_features", [5, 40])  # fewer than rows, and more
def test_errors_of_groups_that_are_left_out_are_those_of_fits_to_the_others(n_features, form):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(17, n_features, generator=generator, dtype=torch.float64)
    y = torch.randn(17, generator=generator, dtype=torch.float64)
    groups = torch.tensor([3, 3, 0, 0, 0, 7, 7, 9, 9, 9, 9, 3, 1, 1, 0, 2, 2])
    members, penalty = group_members(groups), torch.tensor(0.7, dtype=torch.float64)
    found = form(rows, y, penalty, members)
    for own, residuals in zip(members, found, strict=True):
        inside = own[own < 17]
        rest = torch.ones(17, dtype=torch.bool)
        rest[inside] = False
        x = rows[rest]
        weights = torch.linalg.solve(
            x.T @ x + penalty * torch.eye(n_features).double(), x.T @ y[rest]
        )
        expected = y[inside] - rows[inside] @ weights
        torch.testing.assert_close(residuals[: len(inside)], expected, rtol=1e-9, atol=1e-9)
        assert not residuals[len(inside) :].any()
    inputs = (rows.requires_grad_(), penalty.requires_grad_())
    assert torch.autograd.gradcheck(lambda x, m: form(x, y, m, members), inputs)


def charged_pairs(n, seed):
    """Ions that move around a molecule whose charges depend on a bond of its atoms.

    The species of all of them are the same, so that only their surroundings tell them apart.
    """
    generator = np.random.default_rng(seed)
    positions, energies, labels = [], [], []
    for _ in range(n):
        bonds = generator.uniform(0.9, 1.3, size=2)
        first = np.array([[0, 0, 0], [bonds[0], 0, 0]])
        direction = generator.normal(size=3)
        shift = direction / np.linalg.norm(direction) * generator.uniform(4.5, 9.0)
        second = shift + np.array([[0, 0, 0], [0, bonds[1], 0]])
        charges = [(bonds[k] - 1.1) * np.array([1.0, 1.2]) for k in range(2)]
        apart = np.linalg.norm(first[:, None] - second, axis=2)
        energies.append((charges[0][:, None] * charges[1] / apart).sum())
        positions.append(np.concatenate([first, second]))
        labels.append(np.array([0.0, 0, 1, 1]))
    structures = Structures.from_arrays(
        positions, [np.array([6, 8, 6, 8])] * n, [np.zeros((3, 3))] * n, [np.zeros(3, bool)] * n
    )
    data = as_dataset(structures)
    return data.with_values({"y": energies}, {"monomer": labels})


def error(recipe: FeatureRecipe, train_set: Dataset, test_set: Dataset):
    target = Target(key="y", fragments="monomer")
    predictor = train(recipe, train_set, target, estimator=Ridge())
    y = torch.from_numpy(test_set.column("y"))
    return predictor, float(
        (predictor.predict(test_set).values - y).square().mean().sqrt() / y.std()
    )


def test_fitted_sources_learn_charges_that_species_cannot_have(tmp_path):
    train_set, test_set = charged_pairs(60, 0), charged_pairs(60, 1)
    given = {"V": FIELDS["V"], "rho": FIELDS["rho"], "channels": None}
    _, of_species = error(features("rho*V", **given), train_set, test_set)
    fitted = {"V": Fitted(channels=1, components=2, cutoff=3.0, steps=30)}
    predictor, found = error(features("rho*V", **given, sources=fitted), train_set, test_set)
    assert found < 0.25 * of_species
    save(predictor, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors").predict(test_set, forces=True)
    expected = predictor.predict(test_set, forces=True)
    torch.testing.assert_close(again.values, expected.values, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(again.forces, expected.forces, rtol=1e-8, atol=1e-10)
    assert isinstance(predictor.representation.sources["V"], DescribedSources)


def test_forces_of_fragments_and_sources_are_learned():
    train_set = charged_pairs(10, 0)
    given = {"V": FIELDS["V"], "rho": FIELDS["rho"], "channels": None}
    recipe = features("rho*V", **given, sources={"V": Described(components=1, cutoff=3.0)})
    target = Target(key="y", fragments="monomer")
    first = train(recipe, train_set, target, estimator=Ridge(regularization=1e-6))
    forces = first.predict(train_set, forces=True).forces
    both = train(recipe, train_set, target, forces=forces, estimator=Ridge(regularization=1e-6))
    again = both.predict(train_set, forces=True).forces
    assert float((again - forces).norm() / forces.norm()) < 0.1


def test_missing_arrays_are_refused_with_file_and_frame():
    structures = some(2)
    recipe = features("rho*V", **FIELDS, sources={"V": Given(keys=("charge",))})
    with pytest.raises(DataError, match="charge"):
        train(recipe, structures, Target(key="y"), y=np.array([0.0, 1.0]))
    data = as_dataset(structures).with_values({}, {"charge": [None, np.zeros(3)]})
    with pytest.raises(DataError, match="charge"):
        train(recipe, data, Target(key="y"), y=np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="give each atom one"):
        replace(structures, arrays={"charge": torch.zeros(1)})
    wide = replace(structures, arrays={"charge": torch.zeros(structures.n_atoms, 3)})
    with pytest.raises(ValueError, match="one number"):
        GivenSources(keys=("charge",)).strengths(wide)


def test_other_models_say_that_they_cannot():
    data = charged_pairs(8, 0)
    recipe = features("rho*V", **FIELDS, sources={"V": Fitted(cutoff=3.0)})
    target = Target(key="y", fragments="monomer")
    with pytest.raises(ValueError, match="ridge regression"):
        train(recipe, data, target, estimator=SparseKernelRidge(n_active=4))
    with pytest.raises(ValueError, match="network"):
        train(recipe, data, target, estimator=Network())
    many = features("rho*V", **FIELDS, sources={"V": Fitted(channels=9, components=1, cutoff=3.0)})
    with pytest.raises(ValueError, match="more than the data carry"):
        train(many, data, target)


def test_a_periodic_structure_keeps_its_cell_without_fragments_of_its_own():
    structures = structures_of(water_in_box())
    marked = replace(structures, arrays={"monomer": torch.zeros(3)})
    recipe = Representation(
        fields=FIELDS, products=(("rho", "V"),), species=(1, 8), centers=(1, 8), fragments="monomer"
    )
    assert not recipe.compute(marked).invariants[0].any()
