"""Force rows of sparse kernels: against differences and adjoints, and in what they teach."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from multilode.models import (
    GaussianKernel,
    PolynomialKernel,
    Problem,
    SparseKernelRidge,
    TargetMap,
    polynomial_kernels,
)
from multilode.models.kernel_ridge import product_slopes as module
from multilode.models.kernel_ridge.product_slopes import has_product_slopes, product_slopes
from multilode.models.slopes import (
    all_directions,
    along_directions,
    derivatives_along,
    random_directions,
)
from multilode.models.targets import Forces, Target
from multilode.prediction import forces as forces_module
from multilode.prediction.baseline import NoBaseline
from multilode.prediction.predictor import Predictor
from multilode.prediction.training import collect_design
from multilode.representation.representation import Representation
from multilode.symmetry.irrep import INVARIANT
from toy_tensors import FIELDS, molecules

RECIPE = Representation(
    fields=FIELDS,
    products=(("rho", "rho"), ("rho", "V")),
    species=(1, 6, 8),
    centers=(6, 8),
)
SQUARES = PolynomialKernel(zeta=2, normalize=True)
KERNELS = {
    "square": PolynomialKernel(zeta=2),
    "normalized": PolynomialKernel(zeta=3, normalize=True),
    "linear": polynomial_kernels(zeta=1, normalize=(False, True)),
    "mixed": polynomial_kernels(zeta=(1, 2)),
}


def map_of(estimator, train):
    problem = Problem.of(RECIPE)
    return estimator.map(problem, lambda n, seed: iter([RECIPE.compute(train)]))


def own_width(own):
    """Number of columns of all terms."""
    return sum(active.rows.n_rows for active in own.active)


def columns_of(own, structures, positions):
    design = own.design(RECIPE.compute(replace(structures, positions=positions)))
    return torch.cat(design.terms, dim=1)


def slopes_of(own, structures, directions):
    slopes = product_slopes(own, RECIPE, structures)
    parts = (along_directions(term, structures.counts, directions) for term in slopes)
    return torch.cat(list(parts), dim=1)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("n_active", [7, 150])
def test_slopes_are_adjoints_and_differences(name, every, n_active):
    own = map_of(SparseKernelRidge(kernel=KERNELS[name], n_active=n_active), molecules(4))
    assert has_product_slopes(own, RECIPE)
    new = molecules(2, seed=3)
    positions = new.positions.clone().requires_grad_()
    directions = all_directions(new.counts)
    if not every:
        directions = random_directions(new.counts, 5, torch.Generator().manual_seed(0))
    found = slopes_of(own, new, directions)
    expected = derivatives_along(columns_of(own, new, positions), positions, directions)
    size = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8 * size)
    move, step = directions.vector(2), 1e-4
    ends = [columns_of(own, new, new.positions + s * step * move) for s in (1, -1)]
    n = directions.present.shape[1]
    differences = ((ends[0] - ends[1]) / (2 * step)).detach()
    torch.testing.assert_close(found[2::n], differences, rtol=1e-4, atol=1e-6 * size)


def test_unequal_structures_have_rows_of_their_own():
    own = map_of(SparseKernelRidge(n_active=40), molecules(8))
    new = molecules(3, seed=5)
    new = replace(  # the last molecule has lost an atom
        new,
        positions=new.positions[:-1],
        species=new.species[:-1],
        structure_index=new.structure_index[:-1],
    )
    positions = new.positions.clone().requires_grad_()
    directions = all_directions(new.counts)
    found = slopes_of(own, new, directions)
    expected = derivatives_along(columns_of(own, new, positions), positions, directions)
    assert len(found) == 33
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("per_species", [True, False])
def test_slopes_in_crystals_block_by_block(monkeypatch, per_species):
    monkeypatch.setattr(module, "_BLOCK_BYTES", 8 * 9 * 6 * 20)  # a few columns
    settings = {"kernel": SQUARES, "n_active": 9, "per_species": per_species}
    own = map_of(SparseKernelRidge(**settings), molecules(4))
    new = molecules(1, seed=3)
    cell = 7.0 * torch.eye(3, dtype=torch.float64)[None]
    new = replace(new, cell=cell, pbc=torch.ones(1, 3, dtype=torch.bool))
    positions = new.positions.clone().requires_grad_()
    directions = all_directions(new.counts)
    expected = derivatives_along(columns_of(own, new, positions), positions, directions)
    found, size = slopes_of(own, new, directions), float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6 * size)


def test_coefficients_themselves_are_products_too():
    recipe = replace(RECIPE, products=(("V",), ("V", "V")))
    train, new = molecules(4), molecules(2, seed=3)
    kernel = polynomial_kernels(zeta=(2, 1))
    own = SparseKernelRidge(kernel=kernel, n_active=6).map(
        Problem.of(recipe), lambda n, seed: iter([recipe.compute(train)])
    )
    positions = new.positions.clone().requires_grad_()
    design = own.design(recipe.compute(replace(new, positions=positions)))
    directions = all_directions(new.counts)
    expected = derivatives_along(torch.cat(design.terms, dim=1), positions, directions)
    found = torch.cat(product_slopes(own, recipe, new), dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


def test_no_backward_pass_is_needed_and_others_are_told_apart(monkeypatch):
    own = map_of(SparseKernelRidge(n_active=9), molecules(4))
    gaussian = map_of(SparseKernelRidge(kernel=GaussianKernel(), n_active=9), molecules(4))
    assert not has_product_slopes(gaussian, RECIPE)
    assert not has_product_slopes(own, replace(RECIPE, products=(("rho", "rho", "V"),)))
    new, target = molecules(2, seed=5), Target(key="energy")
    forces = Forces(values=torch.zeros(8, 3))
    passes = []
    monkeypatch.setattr(forces_module, "derivatives_along", lambda *_: passes.append(1))
    collect_design(TargetMap(maps={INVARIANT: own}), target, RECIPE, new, forces=forces)
    assert not passes


def test_forces_of_a_kernel_expansion_are_learned_exactly():
    """The target is in the span of the active environments: few energies, all forces."""
    train, new = molecules(6), molecules(3, seed=7)
    own = map_of(SparseKernelRidge(n_active=30, kernel=SQUARES), train)
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(own_width(own), 1, generator=generator, dtype=torch.float64)
    weights = weights / own_width(own) ** 0.5

    def energies_and_forces(structures):
        positions = structures.positions.clone().requires_grad_()
        energies = columns_of(own, structures, positions) @ weights
        (slopes,) = torch.autograd.grad(energies.sum(), positions)
        return energies.detach(), -slopes

    y, forces = energies_and_forces(train)
    target = Target(key="energy")
    design = collect_design(
        TargetMap(maps={INVARIANT: own}), target, RECIPE, train, forces=Forces(values=forces)
    ).invariant
    estimator = SparseKernelRidge(regularization=1e-12, term_weights=(1.0, 1.0), kernel=SQUARES)
    predictor = Predictor(
        representation=RECIPE,
        model=estimator.fit(design, y),
        baseline=NoBaseline().fit(train, y, reduce="sum"),
        target=target,
    )
    expected, expected_forces = energies_and_forces(new)
    found = predictor.predict(new, forces=True)
    size = float(expected_forces.abs().max())
    torch.testing.assert_close(found.values[:, None], expected, rtol=1e-3, atol=1e-3 * size)
    torch.testing.assert_close(found.forces, expected_forces, rtol=1e-3, atol=1e-3 * size)
    step = 1e-4 * torch.randn(new.positions.shape, generator=generator, dtype=torch.float64)
    ends = [
        predictor.predict(replace(new, positions=new.positions + sign * step)).values
        for sign in (1, -1)
    ]
    work = (found.forces * step).view(3, 4, 3).sum(dim=(1, 2))
    torch.testing.assert_close((ends[1] - ends[0]) / 2, work, rtol=1e-4, atol=1e-8)


class Largest(TorchDispatchMode):
    """The largest tensor of all operations inside."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.numbers = max(self.numbers, result.numel())
        return result


def test_memory_is_that_of_a_block_and_of_the_rows(monkeypatch):
    own = map_of(SparseKernelRidge(kernel=SQUARES, n_active=200), molecules(60))
    new = molecules(1, seed=3)
    rows = 12 * max(active.rows.n_rows for active in own.active)
    product_slopes(own, RECIPE, new)  # tables are made
    found = {}
    for columns in (8, 1000):
        largest = 9 * 6 * columns  # coefficients of one center, for each column
        monkeypatch.setattr(module, "_BLOCK_BYTES", 8 * largest)
        with Largest() as inside:
            expected = product_slopes(own, RECIPE, new)
        found[columns] = inside.numbers, expected
    matrices = max(active.rows.points.values.shape[1] for active in own.active) * 200
    assert found[8][0] <= max(rows, matrices, 4 * 9 * 6 * 8)
    assert found[1000][0] > 2 * found[8][0]
    for a, b, active in zip(found[8][1], found[1000][1], own.active, strict=True):
        # the slopes themselves: the inverse of the factor makes more of their rounding
        slopes = [rows @ active.factor.T for rows in (a, b)]
        torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-10, atol=1e-12)
