"""Lithium and water: shared features, the choice of models, and the fields above a sheet."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from multilode import datasets
from multilode.correlations import ContractionSettings
from multilode.expansion import FieldExpansion, expand
from multilode.fields import SmearedPotential
from multilode.models import TargetRegression
from multilode.prediction import pooled_features, with_irreps
from multilode.radial import GaussianTypeOrbitals
from multilode.representation.batches import feature_batches
from multilode.structures.batch import Structures
from multilode.symmetry.irrep import Irrep
from multilode_papers.systems import lithium_water
from multilode_papers.systems.lithium_water import ENERGY, POLARIZATION, Fitted, Learner
from multilode_papers.systems.shared_features import SharedFeatures, shared_features, shared_recipe
from multilode_papers.systems.study import Study
from multilode_papers.systems.systems import system

SPECIES = (1, 3, 8)
LITHIUM = 3.44  # Å, edge of the square cell
TOLERANCE = 1e-4  # the same on both sides of each comparison
NAMES = ("rho x rho", "rho x V1", "rho x (V1 + V3)")


def study():
    return Study(quick=True, folder=None, seed=0, stage=lambda _: lambda _done, _all: None)


def small_slabs(heights):
    """Water above one layer of lithium, four atoms in a cell of 7 Å."""
    steps = torch.tensor([[0.0, 0], [1, 0], [0, 1], [1, 1]]) * LITHIUM
    sheet = torch.cat([steps, torch.zeros(4, 1)], dim=1).double()
    water = torch.tensor([[0.1, 0.0, 0.0], [0.6, 0.3, 0.7], [-0.7, 0.2, 0.5]]).double()
    water = water + torch.tensor([LITHIUM / 2, LITHIUM / 2, 0.0])
    parts = [torch.cat([sheet, water + torch.tensor([0.0, 0.0, z])]) for z in heights]
    n = len(heights)
    return Structures(
        positions=torch.cat(parts),
        species=torch.tensor([3, 3, 3, 3, 8, 1, 1] * n),
        structure_index=torch.arange(n).repeat_interleave(7),
        cell=torch.diag(torch.tensor([2 * LITHIUM, 2 * LITHIUM, 0.0])).double().expand(n, 3, 3),
        pbc=torch.tensor([[True, True, False]]).expand(n, 3),
    )


@pytest.fixture(scope="module")
def slabs():
    return small_slabs([1.0, 2.5, 6.0])


@pytest.fixture(scope="module")
def shared(slabs):
    """Models and features that they share, with a smearing that takes few waves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lithium_water, "SMEARING", 0.8)
        chosen = lithium_water.models({n: lithium_water.ENERGY_PRODUCTS[n] for n in NAMES})
    recipe = shared_recipe(
        chosen,
        slabs,
        species=SPECIES,
        irreps=(Irrep(0), Irrep(1)),
        contraction=ContractionSettings(),
        tolerance=TOLERANCE,
    )
    return {model.name: model for model in chosen}, recipe, shared_features(recipe, slabs)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_shared_invariants_are_the_power_spectra_of_each_model(name, slabs, shared):
    """Recursive coupling on one side, power spectra with a recipe of their own on the other."""
    models, _, features = shared
    ours = features.design(models[name], ENERGY)
    recipe = replace(models[name].representation(SPECIES), tolerance=TOLERANCE)
    own = pooled_features(recipe, slabs, reduce="sum")
    for a, b in zip(ours.invariant.terms, own.terms, strict=True):
        torch.testing.assert_close(a @ a.T, b @ b.T, rtol=1e-9, atol=1e-9)


def test_shared_vectors_are_those_of_a_tensor_regression(slabs, shared):
    models, _, features = shared
    model = models["rho x (V1 + V3)"]
    ours = features.design(model, POLARIZATION)
    regression = TargetRegression(target=POLARIZATION, estimator=model.estimator)
    recipe = with_irreps(regression, model.representation(SPECIES))
    recipe = replace(recipe, tolerance=TOLERANCE)
    own = regression.map(recipe, lambda n, seed: ()).collect(feature_batches(recipe, slabs))
    assert ours.parts[Irrep(1)].map == own.parts[Irrep(1)].map
    pairs = zip(ours.parts[Irrep(1)].terms, own.parts[Irrep(1)].terms, strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_chosen_structures_keep_their_features(slabs, shared):
    _, recipe, features = shared
    chosen = torch.tensor([2, 0])
    again = shared_features(recipe, slabs.select(chosen))
    for key, block in features.select(chosen).blocks.items():
        torch.testing.assert_close(block, again.blocks[key], rtol=1e-6, atol=1e-9)


def test_a_term_without_vectors_is_left_out():
    block = torch.ones(6, 2, dtype=torch.float64)
    key = ("rho", "V1")
    features = SharedFeatures(
        blocks={(Irrep(0), ("radial",)): block[:2], (Irrep(1), key): block}, centers=(1, 8)
    )
    model = lithium_water.models({"both": (("radial",), key)})[0]
    design = features.design(model, POLARIZATION)
    assert design.parts[Irrep(1)].map.problem.terms == (1,)
    assert design.n_units == 2


@pytest.mark.slow
def test_potentials_of_a_sheet_fall_as_they_should():
    """V1: a uniform field of 2 pi per area. V3: z^-1, and its second derivative z^-3."""
    heights = [8.0, 16.0]
    slab = small_slabs(heights)
    oxygens = (slab.species == 8).nonzero().flatten()
    basis = GaussianTypeOrbitals(1, 1.0)

    def lithium_blocks(exponent):
        return expand(
            FieldExpansion(SmearedPotential(1.0, exponent), basis, 2),
            slab,
            species=SPECIES,
            centers=oxygens,
            tolerance=1e-6,
        ).blocks

    def lithium_part(blocks, degree):
        return blocks[Irrep(degree)][:, degree, 1]  # m = 0 of the second species

    uniform = lithium_part(lithium_blocks(1.0), 1)
    torch.testing.assert_close(uniform[0], uniform[1], rtol=1e-4, atol=0.0)
    # the coefficient of z in R(r) Y_10: a field of -2 pi sigma, times what the basis makes of z
    r = torch.linspace(0, 12, 200_001, dtype=torch.float64)
    radial = torch.exp(-(r**2) / 2)
    radial = radial / torch.trapezoid(radial**2 * r**2, r).sqrt()
    moment = torch.trapezoid(radial * r**3, r) * np.sqrt(4 * np.pi / 3)
    assert float(uniform[0]) == pytest.approx(-2 * np.pi / LITHIUM**2 * float(moment), rel=1e-4)
    cubic = lithium_blocks(3.0)
    curved = lithium_part(cubic, 2)
    assert float(curved[0] / curved[1]) == pytest.approx(8.0, rel=0.1)  # the sphere has a size
    flat = lithium_part(cubic, 0)
    assert float(flat[0] / flat[1]) == pytest.approx(2.0, rel=0.05)


@pytest.fixture(scope="module")
def far():
    """Some real rows of the data far from the slab, with the split of the polarization."""
    dataset = datasets.load("lithium-water", "train", index="::9")
    return dataset.select(np.flatnonzero(dataset.column("height") >= lithium_water.FAR))


def test_vectors_that_are_linear_in_the_features_are_learned(far):
    """Features made up so that the real vectors are two of them, rotated to m = -1, 0, 1."""
    spherical = torch.from_numpy(far.column("polarization"))[:, [1, 2, 0]].reshape(-1, 1)
    noise = torch.randn(len(spherical), 3, generator=torch.Generator().manual_seed(1)).double()
    block = torch.cat([spherical * 100, noise * 0.01], dim=1)
    features = SharedFeatures(blocks={(Irrep(1), ("rho", "V1")): block}, centers=(1, 8))
    learner = Learner(study=study(), dataset=far, shared=features)
    split = np.array(far.labels("polarization_split"))
    model = lithium_water.models({"rho x V1": (("rho", "V1"),)})[0]
    found = learner.learn(model, POLARIZATION, split, sizes=(20, 50))
    assert found.n_train == (split == "train").sum()
    assert len(found.test) == len(found.reference) == (split == "test").sum()
    torch.testing.assert_close(found.predicted, found.reference, rtol=0, atol=1e-6)
    assert found.cv_percent < 1
    assert found.curve is not None
    assert float(found.curve.mean_percent[-1]) < 5


def fitted(dataset, cv_percent, error):
    reference = torch.from_numpy(dataset.column("interaction_energy"))[:, None]
    return Fitted(
        test=dataset,
        reference=reference,
        predicted=reference + error,
        n_train=10,
        cv_percent=cv_percent,
        curve=None,
    )


def test_the_best_model_is_chosen_without_the_test_set(far):
    found = {"good on the test": fitted(far, 5.0, 0.0), "good in training": fitted(far, 2.0, 0.1)}
    assert lithium_water.best_of(found) == "good in training"


def test_rows_carry_the_numbers_of_the_paper(far):
    found = {name: fitted(far, 1.0, 0.01) for name in lithium_water.ENERGY_PRODUCTS}
    rows = lithium_water._energy_rows(found)
    assert len({row.key for row in rows}) == len(rows)
    paper = {row.model: row.paper for row in rows if row.paper is not None}
    assert paper == {"rho x rho": 19.0, "rho x V1": 9.0}
    deviation = float(np.std(far.column("interaction_energy")))
    assert rows[0].rmse == pytest.approx(0.01)
    assert rows[0].rmse_percent == pytest.approx(1.0 / deviation)


def test_the_system_says_that_these_are_model_data():
    row = system("lithium-water")
    assert "model data" in row.title
    assert "MODEL DATA" in lithium_water.ORIGIN
    assert row.run is lithium_water.run
