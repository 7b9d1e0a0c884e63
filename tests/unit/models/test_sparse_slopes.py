"""Force rows of sparse kernels: against differences and adjoints, and in what they teach."""

from dataclasses import replace

import pytest
import torch

from multilode.models import (
    GaussianKernel,
    PolynomialKernel,
    Problem,
    SparseKernelRidge,
    TargetMap,
    polynomial_kernels,
)
from multilode.models.kernel_ridge.sparse_slopes import sparse_slopes
from multilode.models.slopes import all_directions, derivatives_along, random_directions
from multilode.models.targets import Forces, Target
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
    "gaussian": GaussianKernel(width=0.4),
    "sum": PolynomialKernel(zeta=2) + 0.3 * GaussianKernel(width=0.7),
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


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("every", [True, False])
def test_slopes_are_adjoints_and_differences(name, every):
    own = map_of(SparseKernelRidge(kernel=KERNELS[name], n_active=7), molecules(4))
    new = molecules(2, seed=3)
    positions = new.positions.clone().requires_grad_()
    directions = all_directions(new.counts)
    if not every:
        directions = random_directions(new.counts, 5, torch.Generator().manual_seed(0))
    features = RECIPE.compute(replace(new, positions=positions))
    found = torch.cat(sparse_slopes(own, features, positions, directions), dim=1)
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
    features = RECIPE.compute(replace(new, positions=positions))
    directions = all_directions(new.counts)
    found = torch.cat(sparse_slopes(own, features, positions, directions), dim=1)
    expected = derivatives_along(columns_of(own, new, positions), positions, directions)
    assert len(found) == 33
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


def test_environments_are_differentiated_once_for_each_direction(monkeypatch):
    own = map_of(SparseKernelRidge(n_active=40), molecules(8))
    new, calls = molecules(2, seed=5), []
    real = torch.autograd.grad

    def counted(*args, **options):
        calls.append(args)
        return real(*args, **options)

    positions = new.positions.clone().requires_grad_()
    features = RECIPE.compute(replace(new, positions=positions))
    monkeypatch.setattr(torch.autograd, "grad", counted)
    sparse_slopes(own, features, positions, all_directions(new.counts))
    of_positions = [1 for args in calls if args[1] is positions]
    assert len(of_positions) == 1  # the adjoint
    of_environments = [
        1 for args in calls if isinstance(args[2], torch.Tensor) and args[2].shape == (8, 3)
    ]
    assert len(of_environments) == 12


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
