"""Forces in the fit: rows against differences, fits against normal equations, physics learned."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.autograd.functional import jacobian

from multilode.expansion import FieldExpansion
from multilode.fields import SmearedPotential
from multilode.models import (
    Committee,
    KernelRidge,
    Problem,
    Ridge,
    SparseKernelRidge,
    TargetRegression,
    polynomial_kernels,
)
from multilode.models.model import training_rows
from multilode.models.pooling import pool_terms
from multilode.models.rows import ForceRows, regression_rows
from multilode.models.slopes import all_directions, derivatives_along, random_directions
from multilode.models.solve.primal import absolute_regularization
from multilode.models.solve.spectrum import term_spectra
from multilode.models.targets import Forces, Target
from multilode.prediction.baseline import NoBaseline
from multilode.prediction.predictor import Predictor
from multilode.prediction.training import collect_design, fitted_map, train
from multilode.radial import GaussianTypeOrbitals
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures

RECIPE = Representation(
    fields={
        "V": FieldExpansion(
            field=SmearedPotential(smearing=0.6, exponent=1.0),
            basis=GaussianTypeOrbitals(n_radial=3, radius=3.0),
            max_angular=2,
            center_weight=0.0,
        )
    },
    products=(("V",), ("V", "V")),
    species=(11, 17),
    centers=(11, 17),
)
ENERGY = Target(key="energy", unit="eV")


def ions(n, seed, *, sizes=(2, 3, 4)):
    """Clusters of ions, at least 2.2 Å apart, with energies q q' exp(-r / 2) / r and forces."""
    generator = np.random.default_rng(seed)
    positions, species, energies, forces = [], [], [], []
    for k in range(n):
        size = sizes[k % len(sizes)]
        while True:
            places = generator.uniform(0, 6, (size, 3))
            apart = places[:, None] - places
            distance = np.linalg.norm(apart, axis=2) + 1e9 * np.eye(size)
            if distance.min() > 2.2:
                break
        kinds = generator.permutation([11, 17, 17, 11][:size])
        charges = np.where(kinds == 11, 1.0, -1.0)
        pairs = charges[:, None] * charges * np.exp(-distance / 2) / distance
        positions.append(places)
        species.append(kinds)
        energies.append(pairs.sum() / 2)
        slopes = pairs * (1 / distance + 1 / 2)
        forces.append(np.einsum("ij,ijx->ix", slopes / distance, apart))
    structures = Structures.from_arrays(
        positions, species, [np.zeros((3, 3))] * n, [np.zeros(3)] * n
    )
    return structures, torch.tensor(energies), torch.from_numpy(np.concatenate(forces))


def designed(structures, estimator, given, **options):
    """The design of energies and forces."""
    maps = fitted_map(TargetRegression(target=ENERGY, estimator=estimator), RECIPE, structures)
    options["forces"] = given
    return collect_design(maps, ENERGY, RECIPE, structures, **options).invariant


def pooled(structures, positions):
    moved = replace(structures, positions=positions)
    parts = pool_terms(RECIPE.compute(moved).rows(), reduce="sum", centers=RECIPE.centers)
    return torch.cat(parts, dim=1)


@pytest.mark.parametrize("periodic", [False, True])
def test_derivatives_along_directions_are_differences(periodic):
    structures = ions(4, seed=0)[0]
    if periodic:
        cell = 8 * torch.eye(3, dtype=torch.float64).expand(4, 3, 3)
        structures = replace(structures, cell=cell, pbc=torch.ones_like(structures.pbc))
    step, directions = 1e-4, random_directions(structures.counts, 5, torch.Generator())
    positions = structures.positions.clone().requires_grad_()
    features = pooled(structures, positions)
    found = derivatives_along(features, positions, directions)  # one pass per direction
    some = derivatives_along(features[:, :8], positions, directions)  # one pass per column
    torch.testing.assert_close(some, found[:, :8], rtol=1e-10, atol=1e-12)
    found = found.unflatten(0, (4, 5))
    for k in range(5):
        move = step * directions.vector(k)
        ends = [pooled(structures, structures.positions + s * move) for s in (1, -1)]
        differences = (ends[0] - ends[1]) / (2 * step)
        torch.testing.assert_close(found[:, k], differences, rtol=1e-5, atol=1e-7)


def test_directions_are_complete_and_orthonormal():
    counts = torch.tensor([1, 3, 2])
    index = torch.arange(3).repeat_interleave(counts)
    forces = torch.randn(6, 3, dtype=torch.float64)
    for directions in (all_directions(counts), random_directions(counts, 20, torch.Generator())):
        vectors = torch.stack([directions.vector(k) for k in range(9)], dim=2)
        assert directions.structure.tolist() == [0] * 3 + [1] * 9 + [2] * 6
        products = torch.einsum("ax,axk->ak", forces, vectors)
        sums = torch.zeros(3, 9).double().index_add(0, index, products)
        torch.testing.assert_close(directions.along(forces), sums[directions.present])
        assert directions.present.sum(dim=1).tolist() == [3, 9, 6]
        torch.testing.assert_close(directions.scale, torch.ones(3).double())
        for structure, count in enumerate(counts.tolist()):
            own = vectors[index == structure][..., directions.present[structure]]
            flat = own.flatten(0, 1)
            identity = torch.eye(3 * count).double()
            torch.testing.assert_close(flat.T @ flat, identity)


def test_all_directions_of_a_large_structure_take_no_memory():
    """A table of all displacements of all atoms took 1.8 GB for 5000 atoms."""
    directions = all_directions(torch.tensor([200_000, 1]))
    assert len(directions.along(torch.ones(200_001, 3))) == 600_003
    assert directions.vector(599_999)[199_999].tolist() == [0, 0, 1]


def test_a_large_structure_costs_the_small_ones_of_its_batch_nothing():
    """Derivatives of all structures were as many as those of the largest."""
    counts = torch.tensor([500, *[1] * 400])
    positions = torch.ones(900, 3, dtype=torch.float64, requires_grad=True)
    index = torch.arange(401).repeat_interleave(counts)
    sums = torch.zeros(401, 3, dtype=torch.float64).index_add(0, index, positions)
    found = derivatives_along(sums, positions, all_directions(counts))
    assert found.shape == (2700, 3)
    torch.testing.assert_close(found, torch.eye(3).double().repeat(900, 1))


def test_few_directions_are_right_on_average():
    counts, generator = torch.tensor([2]), torch.Generator().manual_seed(0)
    total = torch.zeros(6, 6).double()
    for _ in range(2000):
        drawn = random_directions(counts, 2, generator)
        flat = drawn.vectors.flatten(0, 1) * drawn.scale
        total += flat @ flat.T / 2000
    assert (total - torch.eye(6)).abs().max() < 0.12  # 2 / sqrt(2000) is 0.045


def test_fit_solves_the_normal_equations_of_energies_and_forces():
    structures, energies, forces = ions(8, seed=1)
    weight, relative = 0.7, 1e-6
    estimator = Ridge(regularization=relative, term_weights=(1.0, 0.1))
    given = Forces(values=forces, weight=weight)
    design = designed(structures, estimator, given, batch_atoms=7)
    found = estimator.fit(design, energies[:, None])
    # the same from the full Jacobian
    slopes = jacobian(lambda x: pooled(structures, x).sum(dim=0), structures.positions)
    slopes = slopes.flatten(1).T  # [3 * atom, feature]
    x = torch.cat([pooled(structures, structures.positions), -weight * slopes])
    y = torch.cat([energies, weight * forces.flatten()])
    widths = [term.shape[1] for term in design.terms]
    scaled = [
        part / part.square().sum(dim=1).mean().sqrt() * w**0.5
        for part, w in zip(x.split(widths, dim=1), (1.0, 0.1), strict=True)
    ]
    z = torch.cat(scaled, dim=1)
    varied = torch.cat([z[:8] - z[:8].mean(dim=0), z[8:]])  # slopes have no mean to vary about
    g = relative * float(varied.square().sum()) / len(z)
    solution = torch.linalg.solve(z.T @ z + g * torch.eye(z.shape[1]).double(), z.T @ y)
    expected = (z @ solution)[: len(energies)]
    torch.testing.assert_close(
        found.predict_terms(design.terms)[:, 0], expected, rtol=1e-6, atol=1e-8
    )


def test_what_all_structures_share_does_not_change_the_unit_of_the_regularization():
    """It stood in the mean of features and slopes together, and was taken for variance."""
    structures, energies, forces = ions(8, seed=8)
    design = designed(structures, Ridge(), Forces(values=forces, weight=1.0))
    found = []
    for shift in (0.0, 1e4):
        moved = replace(design, terms=tuple(term + shift for term in design.terms))
        rows = training_rows(moved, energies[:, None])
        stack = torch.cat(rows.terms, dim=1)
        found.append(absolute_regularization(stack, 1.0, rows.n_targets))
        spectrum = term_spectra(rows.terms, stack[:, :0]).spectrum((1.0, 1.0))
        own = replace(spectrum, n_targets=rows.n_targets).mean_eigenvalue
        assert own == pytest.approx(found[-1], rel=1e-4)
    assert found[1] == pytest.approx(found[0], rel=1e-4)


ESTIMATORS = {
    "ridge": Ridge(),
    "sparse": SparseKernelRidge(kernel=polynomial_kernels(zeta=(1, 2)), n_active=60),
    "committee": Committee(estimator=Ridge()),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_forces_teach_what_few_energies_cannot(name):
    structures, energies, forces = ions(16, seed=2)
    new, new_energies, new_forces = ions(60, seed=3)
    options = {"target": ENERGY, "estimator": ESTIMATORS[name], "baseline": NoBaseline()}
    errors = []
    for given in (None, Forces(values=forces)):
        predictor = train(RECIPE, structures, y=energies, forces=given, **options)
        found = predictor.predict(new, forces=True)
        errors.append(
            [
                float((found.values - new_energies).square().mean().sqrt()),
                float((found.forces - new_forces).square().mean().sqrt()),
            ]
        )
    without, beside = np.array(errors)
    assert (beside < 0.4 * without).all(), errors
    assert beside[0] < 0.1 * float(new_energies.std()), errors


@pytest.mark.parametrize("name", ["ridge", "sparse"])
def test_rows_are_the_forces_that_the_model_predicts(name):
    structures, energies, forces = ions(9, seed=4)
    estimator, given = ESTIMATORS[name], Forces(values=forces)
    design = designed(structures, estimator, given)
    model = estimator.fit(design, energies[:, None])
    predictor = Predictor(
        representation=RECIPE,
        model=model,
        baseline=NoBaseline().fit(structures, energies[:, None], reduce="sum"),
        target=ENERGY,
    )
    weights = torch.cat(model.weights)
    if name == "sparse":  # from weights of active environments to those of features
        actives = design.map.active
        weights = torch.cat(
            [
                w if a is None else a.factor.T @ w
                for w, a in zip(model.weights, actives, strict=True)
            ]
        )
    rows = torch.cat(design.forces.terms, dim=1) @ weights
    found = predictor.predict(structures, forces=True).forces
    torch.testing.assert_close(rows[:, 0], found.flatten(), rtol=1e-6, atol=1e-8)


def test_heavy_forces_decide_and_light_ones_do_not():
    structures, energies, forces = ions(8, seed=5)
    estimator = Ridge(regularization=1e-10, term_weights=(1.0, 1.0))
    wrong = energies + torch.linspace(-3, 3, 8)  # what the forces do not know

    def left(weight):
        given = Forces(values=forces, weight=weight)
        design = designed(structures, estimator, given)
        model = estimator.fit(design, wrong[:, None])
        rows = torch.cat(design.forces.terms, dim=1) @ torch.cat(model.weights)
        return (
            float((model.predict_terms(design.terms)[:, 0] - wrong).abs().max()),
            float((rows[:, 0] - design.forces.values).abs().max()),
        )

    heavy, light = left(1e5), left(1e-6)
    assert heavy[0] > 0.1, "the energies should have lost"
    assert heavy[1] < 1e-3
    assert light[0] < 1e-3
    assert light[1] > 0.1, "the forces should have lost"


def test_forces_count_where_the_baseline_describes_all_energies():
    """What rounding left of two energies set the weight, and forces had none."""
    structures, energies, forces = ions(2, seed=10, sizes=(4, 3))
    predictor = train(
        RECIPE,
        structures,
        y=energies,
        target=ENERGY,
        estimator=Ridge(),
        forces=Forces(values=forces),
    )
    found = predictor.predict(structures, forces=True).forces
    assert float((found - forces).square().mean().sqrt() / forces.std()) < 0.1


def test_no_fold_sees_forces_of_the_structures_it_leaves_out():
    structures, energies, forces = ions(10, seed=6)
    regularization = 1e-5
    estimator = Ridge(regularization=regularization, folds=None)
    design = designed(structures, estimator, Forces(values=forces, weight=1.0))
    table = estimator.fit(design, energies[:, None]).cv_table
    equal = next(row for row in table if row.term_weights == (1.0, 1.0))
    fixed = replace(estimator, term_weights=(1.0, 1.0))
    residuals = []
    for left_out in range(10):
        rest = torch.tensor([k for k in range(10) if k != left_out])
        model = fixed.fit(design.select(rest), energies[rest, None])
        residuals.append(float(model.predict_terms(design.terms)[left_out, 0] - energies[left_out]))
    # units of features and regularization differ a little between the subsets
    assert equal.rmse == pytest.approx(np.sqrt(np.mean(np.square(residuals))), rel=0.1)
    assert equal.judged != equal.rmse


def test_rows_of_chosen_structures_follow_them():
    structure = torch.tensor([0, 0, 2, 2, 2, 3])
    values = torch.arange(6.0).double()
    rows = ForceRows(terms=(values[:, None],), values=values, structure=structure)
    chosen = rows.select(torch.tensor([3, 0, 1, 2]))
    assert chosen.values.tolist() == [5, 0, 1, 2, 3, 4]
    assert chosen.structure.tolist() == [0, 1, 1, 3, 3, 3]
    assert chosen.terms[0][:, 0].tolist() == chosen.values.tolist()
    assert len(rows.select(torch.tensor([], dtype=torch.int64)).values) == 0


@pytest.mark.parametrize("name", ["ridge", "sparse"])
def test_designs_are_concatenated_with_their_forces(name):
    """One kind forgot them, the other kept those of the first design for all structures."""
    structures, _, forces = ions(4, seed=9)
    estimator = ESTIMATORS[name]
    design = designed(structures, estimator, Forces(values=forces))
    parts = [design.select([0, 1]), design.select([2, 3])]
    whole = parts[0].joined(parts[1:])
    assert whole.forces.structure.tolist() == design.forces.structure.tolist()
    torch.testing.assert_close(whole.forces.values, design.forces.values)
    torch.testing.assert_close(whole.forces.terms, design.forces.terms)
    with pytest.raises(ValueError, match="collect all alike"):
        parts[0].joined([replace(parts[1], forces=None)])


def test_a_sample_of_many_forces_is_of_many_structures():
    """Forces of two large structures filled the sample with which term weights are chosen."""
    structure = torch.arange(30).repeat_interleave(100)
    values = torch.randn(3000, 2).double()
    forces = ForceRows(terms=(values,), values=values[:, 0], structure=structure, weight=1.0)
    x = torch.randn(30, 2).double()
    problem = Problem(centers=(1,), n_terms=1, terms=(0,))
    rows = regression_rows(problem, (x,), x[:, :1], forces=forces)
    few = rows.sample(200, 0)
    assert few.n_targets == 30
    assert len(few.y) == 200
    assert sorted(few.groups[:30].tolist()) == list(range(30))
    for found, all_ in ((few.y, rows.y), (few.terms[0], rows.terms[0])):
        torch.testing.assert_close(found[:30], all_[:30])
        squares = [float(part.square().sum()) for part in (found[30:], all_[30:])]
        assert squares[0] == pytest.approx(squares[1], rel=0.3)
    torch.testing.assert_close(few.y[30:], few.terms[0][30:, :1])
    all_of_them = rows.sample(4000, 0)
    assert len(all_of_them.y) == 3030
    torch.testing.assert_close(all_of_them.terms[0], rows.terms[0])


def test_what_cannot_learn_from_forces_says_so(monkeypatch):
    structures, energies, forces = ions(4, seed=7)
    given = Forces(values=forces)

    def run(estimator=Ridge(), target=ENERGY, y=energies, forces=given):  # noqa: B008
        return train(RECIPE, structures, y=y, target=target, estimator=estimator, forces=forces)

    with pytest.raises(ValueError, match=r"a ridge, a sparse kernel.*not by a kernel between"):
        run(KernelRidge())
    with pytest.raises(ValueError, match="without an intercept"):
        run(Ridge(intercept=True))
    with pytest.raises(ValueError, match="not 2"):
        run(y=torch.stack([energies, energies], dim=1))
    with pytest.raises(ValueError, match="targets of atoms have no forces"):
        run(target=Target(key="q", per="atom"), y=forces[:, 0])
    with pytest.raises(ValueError, match=f"got {len(forces) - 1} forces for {len(forces)} atoms"):
        run(forces=Forces(values=forces[1:]))
    with pytest.raises(ValueError, match="all forces are zero"):
        run(forces=Forces(values=0 * forces))
    monkeypatch.setattr("multilode.prediction.forces._COPIES", 1e12)
    with pytest.raises(ValueError, match="forces along fewer directions"):
        run()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight": -1.0}, "weight of forces is -1.0"),
        ({"directions": 0}, "0 directions"),
        ({"values": torch.full((2, 3), torch.nan)}, "not finite"),
        ({"values": torch.ones(6)}, r"shape \[6\]; give three numbers per atom"),
        ({"values": torch.ones(2, 2)}, r"shape \[2, 2\]"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        Forces(**{"values": torch.ones(2, 3), **settings})


def test_arrays_are_forces_too():
    values = np.arange(6.0).reshape(2, 3)
    assert torch.equal(Forces(values=values).values, torch.from_numpy(values))
