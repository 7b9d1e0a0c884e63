"""Training, prediction and derivatives with real representations."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from multilode.errors import DataWarning, StructureError
from multilode.expansion import FieldExpansion
from multilode.expansion.lattice.cell_cache import CELL_CACHE
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.fields.cutoffs import ShiftedCosine
from multilode.models import Committee, KernelRidge, Ridge, SparseKernelRidge, polynomial_kernels
from multilode.models.targets import Target
from multilode.prediction.baseline import CompositionBaseline, NoBaseline
from multilode.prediction.predictor import Predictor
from multilode.prediction.training import pooled_features, train
from multilode.radial import GaussianTypeOrbitals
from multilode.representation.batches import batch_limits, feature_batches
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures

BASIS = GaussianTypeOrbitals(n_radial=2, radius=2.5)
REPRESENTATION = Representation(
    fields={
        "rho": FieldExpansion(
            field=GaussianDensity(smearing=0.5),
            basis=BASIS,
            max_angular=1,
            neighbor_cutoff=2.5,
            cutoff_function=ShiftedCosine(width=0.5),
        ),
        "V": FieldExpansion(
            field=SmearedPotential(smearing=1.0, exponent=1.0), basis=BASIS, max_angular=1
        ),
    },
    products=(("rho", "rho"), ("rho", "V"), ("V",)),
    species=(1, 8),
    centers=(1, 8),
)
ENERGY = Target(key="energy", unit="eV")


def crystals(seed=0, n=10):
    """Small triclinic cells with two to four atoms."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(2, 5, n)
    cells = [np.diag([3.5, 3.8, 4.1]) + 0.3 * generator.normal(size=(3, 3)) for _ in sizes]
    positions = [generator.random((k, 3)) @ cell for k, cell in zip(sizes, cells, strict=True)]
    species = [generator.permutation([1, 8, 1, 8][:k]) for k in sizes]
    return Structures.from_arrays(positions, species, cells, [np.ones(3)] * n)


def isolated(structures):
    """The same atoms without periodicity."""
    return replace(
        structures,
        cell=torch.zeros_like(structures.cell),
        pbc=torch.zeros_like(structures.pbc),
    )


STRUCTURES = crystals()
Y = torch.linspace(-3, 5, 10, dtype=torch.float64).sin() + STRUCTURES.counts
ESTIMATORS = [
    Ridge(regularization=1e-3, term_weights=(1.0, 1.0, 0.1)),
    KernelRidge(
        kernel=polynomial_kernels(zeta=2), regularization=1e-3, term_weights=(1.0, 1.0, 0.1)
    ),
    KernelRidge(
        kernel=polynomial_kernels(zeta=3, normalize=True),
        regularization=1e-3,
        term_weights=(1.0, 1.0, 0.1),
    ),
    SparseKernelRidge(regularization=1e-3, term_weights=(1.0, 1.0, 0.1), n_active=7),
    Committee(
        estimator=KernelRidge(regularization=1e-3, term_weights=(1.0, 1.0, 0.1)), fraction=0.5
    ),
]


def trained(estimator, reduce="sum", y=Y):
    target = Target(key="energy", unit="eV", reduce=reduce)
    return train(REPRESENTATION, STRUCTURES, y=y, target=target, estimator=estimator)


@pytest.mark.parametrize(
    "estimator", ESTIMATORS, ids=["ridge", "kernel-2", "kernel-3", "sparse", "committee"]
)
@pytest.mark.parametrize("periodic", [True, False], ids=["crystal", "molecule"])
def test_forces_equal_finite_differences(estimator, periodic):
    predictor = trained(estimator)
    new = crystals(seed=5, n=2) if periodic else isolated(crystals(seed=5, n=2))
    forces = predictor.predict(new, forces=True).forces
    step = 1e-4
    for atom, axis in [(0, 0), (1, 2), (new.n_atoms - 1, 1)]:
        shift = torch.zeros_like(new.positions)
        shift[atom, axis] = step
        plus, minus = (
            float(predictor.predict(replace(new, positions=new.positions + s)).values.sum())
            for s in (shift, -shift)
        )
        expected = -(plus - minus) / (2 * step)
        assert float(forces[atom, axis]) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize("estimator", ESTIMATORS[:2], ids=["ridge", "kernel-2"])
def test_stress_equals_finite_differences(estimator, reduce):
    predictor = trained(estimator, reduce)
    new = crystals(seed=5, n=2)
    stress = predictor.predict(new, stress=True).stress
    torch.testing.assert_close(stress, stress.mT)
    step = 1e-4
    for i, j in [(0, 0), (0, 1), (2, 1)]:
        strain = torch.zeros(3, 3, dtype=torch.float64)
        strain[i, j] += step / 2
        strain[j, i] += step / 2
        plus, minus = (
            predictor.predict(
                replace(
                    new,
                    positions=new.positions @ (torch.eye(3).double() + s),
                    cell=new.cell @ (torch.eye(3).double() + s),
                )
            ).values
            for s in (strain, -strain)
        )
        expected = (plus - minus) / (2 * step) / new.volumes
        torch.testing.assert_close(stress[:, i, j], expected, rtol=1e-5, atol=1e-7)


def test_forces_alone_keep_the_cell_fixed():
    """They are those that come with a stress, and what belongs to the cell is kept for the next."""
    predictor = trained(ESTIMATORS[0])
    kept = {}
    for stress in (True, False):
        CELL_CACHE.clear()
        found = predictor.predict(STRUCTURES, forces=True, stress=stress)
        kept[stress] = CELL_CACHE.size
        assert (found.stress is not None) == stress
        if stress:
            expected = found
    torch.testing.assert_close(found.forces, expected.forces, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(found.values, expected.values, rtol=1e-13, atol=1e-13)
    assert kept[False] > 2 * kept[True]


@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize("per_species", [True, False])
def test_linear_models_predict_from_coefficients_what_they_predict_from_features(
    reduce, per_species
):
    """Power spectra of one and of two fields and single fields, all in one form."""
    estimator = replace(ESTIMATORS[0], per_species=per_species)
    predictor = trained(estimator, reduce)
    quadratic = predictor.model.quadratic(REPRESENTATION)
    new = crystals(seed=3, n=3)
    positions = new.positions.clone().requires_grad_()
    moving = replace(new, positions=positions)
    found = quadratic.predict(REPRESENTATION.coefficients(moving))
    expected = predictor.model.predict(REPRESENTATION.compute(moving))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    slopes = [torch.autograd.grad(y.sum(), positions)[0] for y in (found, expected)]
    torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-12)


def test_what_is_no_quadratic_form_is_predicted_from_features():
    assert trained(ESTIMATORS[1]).model.quadratic(REPRESENTATION) is None  # a kernel
    columns = trained(ESTIMATORS[0], y=torch.stack([Y, Y], dim=1))
    assert columns.model.quadratic(REPRESENTATION) is None
    three = replace(REPRESENTATION, products=(("rho", "rho", "V"),))
    linear = trained(ESTIMATORS[0]).model
    assert linear.quadratic(three) is None
    longer = replace(REPRESENTATION.fields["V"], max_angular=2)
    other = replace(
        REPRESENTATION,
        fields={**REPRESENTATION.fields, "V": longer},
        products=(("rho", "rho"), ("V",)),
    )
    assert linear.quadratic(other) is None


@pytest.mark.parametrize("members", [ESTIMATORS[0], ESTIMATORS[3]], ids=["ridge", "sparse"])
def test_error_bars_of_forces_are_the_spread_of_the_members(members):
    committee = Committee(estimator=members, n_members=4, fraction=0.5)
    predictor = trained(committee)
    new = crystals(seed=5, n=3)
    found = predictor.predict(new, forces=True, std=True, batch_atoms=4)
    model, forces = predictor.model, []
    for member in torch.eye(4, dtype=torch.float64)[:, :, None]:
        one = replace(predictor, model=model.members.combined(member))
        forces.append(one.predict(new, forces=True).forces)
    expected = torch.stack(forces).std(dim=0, correction=1) * model.calibration.scale
    torch.testing.assert_close(found.forces_std, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.forces, torch.stack(forces).mean(0), rtol=1e-9, atol=1e-12)
    assert set(found.numpy()) == {"values", "forces", "std", "forces_std"}
    gaussian = trained(ESTIMATORS[1]).predict(new, forces=True, std=True)
    assert gaussian.std is not None
    assert gaussian.forces_std is None  # known for members only


def test_forces_add_up_to_zero_and_do_not_depend_on_the_batches():
    predictor = trained(ESTIMATORS[0])
    whole = predictor.predict(STRUCTURES, forces=True, stress=True, batch_atoms=10_000)
    done = []
    parts = predictor.predict(
        STRUCTURES,
        forces=True,
        stress=True,
        batch_atoms=7,
        progress=lambda structures, total: done.append((structures, total)),
    )
    for name in ("values", "forces", "stress"):
        torch.testing.assert_close(
            getattr(parts, name), getattr(whole, name), rtol=1e-9, atol=1e-10
        )
    assert len(done) > 2
    assert done[-1] == (10, 10)
    net = torch.zeros(10, 3).double().index_add(0, STRUCTURES.structure_index, whole.forces)
    torch.testing.assert_close(net, torch.zeros_like(net), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "estimator", ESTIMATORS, ids=["ridge", "kernel-2", "kernel-3", "sparse", "committee"]
)
def test_an_extensive_prediction_doubles_with_the_cell(estimator):
    predictor = trained(estimator)
    if isinstance(estimator, KernelRidge):
        assert predictor.model.reduce == "sum"
    one = STRUCTURES.select([0])
    double = Structures(
        positions=torch.cat([one.positions, one.positions + one.cell[0, 0]]),
        species=one.species.repeat(2),
        cell=one.cell * torch.tensor([2.0, 1.0, 1.0]).double()[:, None],
        pbc=one.pbc,
        structure_index=one.structure_index.repeat(2),
    )
    single, doubled = predictor.predict(one).values, predictor.predict(double).values
    torch.testing.assert_close(doubled, 2 * single, rtol=1e-7, atol=1e-7)


def test_training_reproduces_a_target_made_of_features():
    pooled = pooled_features(REPRESENTATION, STRUCTURES, reduce="sum", per_species=True)
    y = pooled.terms[0] @ torch.linspace(-1, 1, pooled.terms[0].shape[1]).double()
    estimator = Ridge(regularization=1e-12, term_weights=(1.0, 0.0, 0.0))
    predictor = train(
        REPRESENTATION,
        STRUCTURES,
        y=y,
        target=ENERGY,
        estimator=estimator,
        baseline=NoBaseline(),
    )
    torch.testing.assert_close(predictor.predict(STRUCTURES).values, y, rtol=1e-6, atol=1e-6)


def test_baseline_is_subtracted_and_added_again():
    shift = 1000.0 * STRUCTURES.counts
    options = {"target": ENERGY, "estimator": ESTIMATORS[0], "baseline": CompositionBaseline()}
    first = train(REPRESENTATION, STRUCTURES, y=Y, **options)
    second = train(REPRESENTATION, STRUCTURES, y=Y + shift, **options)
    torch.testing.assert_close(
        second.predict(STRUCTURES).values - shift,
        first.predict(STRUCTURES).values,
        rtol=1e-8,
        atol=1e-7,
    )


def test_target_decides_how_centers_are_reduced_and_columns_stay_columns():
    columns = torch.stack([Y, 2 * Y], dim=1)
    predictor = trained(ESTIMATORS[0], reduce="mean", y=columns)
    assert isinstance(predictor, Predictor)
    assert predictor.model.reduce == "mean"
    values = predictor.predict(STRUCTURES).values
    assert values.shape == (10, 2)
    torch.testing.assert_close(2 * values[:, 0], values[:, 1])
    with pytest.raises(ValueError, match="'energy' has 2"):
        predictor.predict(STRUCTURES, forces=True)


def test_standard_deviation_grows_away_from_the_training_set():
    predictor = trained(ESTIMATORS[1])
    known = predictor.predict(STRUCTURES, std=True).std
    assert known.shape == (10,)
    compressed = replace(
        STRUCTURES, positions=STRUCTURES.positions / 1.3, cell=STRUCTURES.cell / 1.3
    )
    unknown = predictor.predict(compressed, std=True).std
    assert float(unknown.mean()) > 2 * float(known.mean())
    with pytest.raises(ValueError, match="no standard deviation"):
        trained(ESTIMATORS[0]).predict(STRUCTURES, std=True)


def test_features_of_batches_are_those_of_one_batch():
    whole = pooled_features(REPRESENTATION, STRUCTURES, reduce="mean", batch_atoms=10_000)
    parts = pooled_features(REPRESENTATION, STRUCTURES, reduce="mean", batch_atoms=5)
    for first, second in zip(whole.terms, parts.terms, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-10)
    features = next(feature_batches(REPRESENTATION, STRUCTURES, batch_atoms=5))
    assert features.n_structures < 10
    assert not features.invariants[0].requires_grad


def test_batches_hold_all_structures_once():
    counts = STRUCTURES.counts.tolist()
    for batch_atoms in (1, 4, 9, 1000):
        limits = batch_limits(STRUCTURES, batch_atoms)
        assert [k for start, stop in limits for k in range(start, stop)] == list(range(10))
        for start, stop in limits:
            assert stop == start + 1 or sum(counts[start:stop]) <= batch_atoms
    with pytest.raises(ValueError, match="batch_atoms is 0"):
        batch_limits(STRUCTURES, 0)


def test_what_cannot_be_predicted_is_named():
    predictor = trained(ESTIMATORS[0])
    slab = replace(STRUCTURES, pbc=STRUCTURES.pbc.clone(), cell=STRUCTURES.cell.clone())
    slab.pbc[3, 2] = False
    slab.cell[3, 2] = 0
    with pytest.raises(ValueError, match="structure 3: has a lattice vector of zero and so no"):
        predictor.predict(slab, stress=True)
    slab.pbc[3] = False
    with pytest.raises(ValueError, match="structure 3: is not periodic in any direction"):
        predictor.predict(slab, stress=True)
    with pytest.raises(ValueError, match="at least one structure"):
        predictor.predict(STRUCTURES.select([]))
    gold = replace(STRUCTURES, species=STRUCTURES.species.clone())
    gold.species[:] = 79
    with pytest.raises(ValueError, match=r"79|Au"):
        predictor.predict(gold)
    bad = Y.clone()
    bad[4] = float("inf")
    with pytest.raises(ValueError, match="structure 4 is not finite"):
        trained(ESTIMATORS[0], y=bad)
    with pytest.raises(ValueError, match="empty key"):
        Target(key="")


def test_errors_count_structures_over_all_batches():
    predictor = trained(ESTIMATORS[0])
    numbers = [np.array([8, 1, 1])] * 5 + [np.array([8, 79, 1])] + [np.array([8, 1, 1])]
    unknown = Structures.from_arrays(
        [np.array([[0.0, 0, 0], [0, 0, 1], [0, 1, 0]])] * 7,
        numbers,
        [np.zeros((3, 3))] * 7,
        [np.zeros(3, dtype=bool)] * 7,
    )
    for batch_atoms in (1, 6, 1000):
        with pytest.raises(StructureError, match="structure 5: contains atomic number 79") as found:
            predictor.predict(unknown, batch_atoms=batch_atoms)
        assert found.value.structure == 5
        with pytest.raises(StructureError, match="structure 5: contains"):
            list(feature_batches(REPRESENTATION, unknown, batch_atoms=batch_atoms))


def test_a_structure_without_centers_has_its_baseline_and_no_forces():
    centered = replace(REPRESENTATION, centers=(8,))
    predictor = train(centered, STRUCTURES, y=Y, target=ENERGY, estimator=ESTIMATORS[0])
    hydrogen = Structures.from_arrays(
        [np.array([[0.0, 0, 0], [0, 0, 0.8]])],
        [np.array([1, 1])],
        [np.zeros((3, 3))],
        [np.zeros(3)],
    )
    with pytest.warns(DataWarning, match="structure 0: has no atom of the elements"):
        found = predictor.predict(hydrogen, forces=True)
    torch.testing.assert_close(found.values, predictor.baseline.predict(hydrogen)[:, 0])
    assert not bool(found.forces.any())
