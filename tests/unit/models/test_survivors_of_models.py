"""Small mistakes in the code that no other test of this room saw: docs/reliability.md, mutants."""

import numpy as np
import pytest
import torch

from crystals import random_structures
from multilode.models import Network, PolynomialKernel, Ridge
from multilode.models.kernels.environments import Environments
from multilode.models.kernels.gaussian import GaussianKernel
from multilode.models.kernels.kernel import Points, ProductKernel, SumKernel
from multilode.models.kernels.second_moments import moment_kernel
from multilode.models.network.fit import references_of, validation_set
from multilode.models.network.invariants import _dot, coupling_paths
from multilode.models.network.posterior import fit_posterior
from multilode.models.rows import ForceRows
from multilode.models.solve import normal
from multilode.models.solve.normal import NormalEquations, RowGroup
from multilode.models.solve.normal_fit import _System, solve_normal
from multilode.models.solve.primal import absolute_regularization
from multilode.models.solve.scaling import column_factors
from multilode.models.solve.term_weights import _WEIGHT_GRID, Search, Trial, search_term_weights
from multilode.models.targets import Stress, Target, check_force_settings
from regressions import pooled


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan")])
def test_weights_of_forces_out_of_range(weight):
    with pytest.raises(ValueError, match="weight of forces"):
        check_force_settings(weight, None)


def test_weights_of_forces_within_range():
    for weight in (None, 1e-6, 0.5, 1e6):
        check_force_settings(weight, 3)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, True),
        ({"reduce": "mean"}, False),
        ({"per": "atom"}, False),
        ({"tensor": "vector"}, False),
        ({"unit": ""}, False),
    ],
)
def test_what_adds_up_over_atoms(options, expected):
    assert Target(**{"key": "energy", "unit": "eV", **options}).adds_up == expected


def test_one_of_two_groups_is_set_aside():
    groups = torch.tensor([0, 0, 0, 1, 1, 1])
    found = validation_set(6, groups, Network(validation=0.5))
    assert found in ([0, 1, 2], [3, 4, 5])


@pytest.mark.parametrize("factor", [1e-8, 1.0, 1e8])
def test_factors_of_columns_scale_with_the_columns(factor):
    """Also those of a column that is all but empty, whose spread has a smallest value."""
    term = torch.tensor([[1.0, 1e-12], [-2.0, 1e-12], [0.5, -1e-12]], dtype=torch.float64)
    found = column_factors(factor * term, 0.5)
    torch.testing.assert_close(found * factor**0.5, column_factors(term, 0.5))
    assert bool(found.isfinite().all())


@pytest.mark.parametrize("n_folds", [1, 2, 4])
def test_the_sum_over_folds_has_each_once(n_folds):
    equations = NormalEquations.empty([2, 1], n_folds)
    generator = torch.Generator().manual_seed(1)
    for square in equations.squares:
        square += torch.rand(3, 3, generator=generator, dtype=torch.float64)
    expected = torch.stack(equations.squares).sum(dim=0)
    torch.testing.assert_close(_System.of(equations).total, expected)


def test_normal_equations_of_several_blocks_of_columns(monkeypatch):
    """Blocks above the diagonal are added up; the others are their mirrors in the end."""
    monkeypatch.setattr(normal, "_COLUMNS", 2)
    generator = torch.Generator().manual_seed(3)
    terms = tuple(torch.randn(9, n, generator=generator, dtype=torch.float64) for n in (4, 3))
    y = torch.randn(9, generator=generator, dtype=torch.float64)
    equations = NormalEquations.empty([4, 3], 2)
    for fold, rows in enumerate((slice(0, 5), slice(5, 9))):
        parts = tuple(term[rows] for term in terms)
        ones = torch.ones(len(parts[0]), dtype=torch.float64)
        equations.add([RowGroup(terms=parts, values=y[rows], factors=ones)], fold)
    search = Search(term_weights=(1.0, 1.0), regularization=1e-9, folds=None, seed=0)
    found = torch.cat(list(solve_normal(equations, search).solution.weights))
    whole = torch.cat(terms, dim=1)
    torch.testing.assert_close(sum(equations.squares), whole.T @ whole, rtol=1e-12, atol=1e-12)
    expected = torch.linalg.lstsq(whole, y[:, None]).solution
    torch.testing.assert_close(found.reshape(-1, 1), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_components", [1, 3, 5])
def test_products_of_components_have_one_size(n_components):
    """Of unit components the invariant of any degree is the root of their number."""
    ones = torch.ones(2, n_components, 4, dtype=torch.float64)
    expected = torch.full((2, 4), n_components**0.5, dtype=torch.float64)
    torch.testing.assert_close(_dot(ones, ones), expected)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_fault_15_regularizations_are_relative_to_the_features(factor):
    """`/ mean_eigenvalue` to `*`: a mutant that survived. What is chosen knows no unit."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(30, 8, generator=generator, dtype=torch.float64)
    y = x @ torch.ones(8, 1, dtype=torch.float64)
    y = y + torch.randn(30, 1, generator=generator, dtype=torch.float64)
    chosen = Ridge().fit(pooled(x), y).summary().parts[0].regularization
    scaled = Ridge().fit(pooled(factor * x), y).summary().parts[0].regularization
    assert scaled == pytest.approx(chosen, rel=1e-3)


def test_fault_15_rows_of_forces_know_their_structure():
    """`n_structures +` to `-`: a mutant that survived. Batches are numbered on."""
    parts = [
        ForceRows(
            terms=(torch.full((len(structure), 2), float(k)),),
            values=torch.full((len(structure),), float(k)),
            structure=torch.tensor(structure),
        )
        for k, structure in enumerate(([0, 0, 1], [0, 2], [0]))
    ]
    found = ForceRows.concatenate(zip(parts, (2, 3, 1), strict=True))
    assert found.structure.tolist() == [0, 0, 1, 2, 4, 5]
    assert found.values.tolist() == [0, 0, 0, 1, 1, 2]
    chosen = found.select(torch.tensor([4, 1]))
    assert chosen.structure.tolist() == [0, 1]
    assert chosen.values.tolist() == [1, 0]


def test_error_bars_of_a_network_that_is_exact_where_it_was_validated():
    features = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)).double()
    found = fit_posterior(features, torch.ones(12).double(), features[:6], torch.zeros(6).double())
    assert bool(found.factor.isfinite().all())
    assert bool((found.calibration.scale > 0).all())


def test_weight_decay_may_be_zero():
    assert Network(weight_decay=0.0).weight_decay == 0
    with pytest.raises(ValueError, match="weight_decay"):
        Network(weight_decay=-1e-9)


def test_gaussian_kernels_compare_directions_if_nothing_is_said():
    rows = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    kernel = GaussianKernel()
    one, twice = (kernel.prepare(Points(values=f * rows, components=1)) for f in (1, 2))
    assert float(kernel.between(one, twice)) == pytest.approx(1, abs=1e-14)


def test_sums_and_products_of_kernels_that_are_none():
    one = PolynomialKernel(zeta=1)
    for weights in ((1.0, -1.0), (1.0, float("inf")), (1.0,)):
        with pytest.raises(ValueError, match="finite number of at least 0"):
            SumKernel(kernels=(one, one), weights=weights)
    with pytest.raises(ValueError, match="a product of no kernels"):
        ProductKernel(kernels=())
    assert ProductKernel(kernels=(one,)).kernels == (one,)


def test_all_couplings_of_degrees_up_to_two():
    """Those at both ends of the triangle too."""
    assert coupling_paths(2) == [(1, 1, 2), (1, 2, 1), (2, 2, 2)]


def test_stresses_of_layers_lie_in_their_plane():
    structures = random_structures((1, 8), 2, periodic=2)
    stress = Stress(values=torch.ones(2, 3, 3).double())
    for one in references_of(structures, torch.zeros(2, 1).double(), None, stress, None):
        assert one.periods is not None
        assert one.virial is not None
        assert float(one.periods.trace()) == pytest.approx(2, abs=1e-12)
        normal = torch.linalg.cross(structures.cell[0][0], structures.cell[0][1])
        assert float((one.periods @ normal).abs().max()) < 1e-10


def test_second_moments_have_slopes_in_both_rows():
    """`<C_A, C_B>` of unlike rows, written out, and its gradients."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (5, 4)]
    owners = [torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 1, 1, 2])]

    def rows(values: torch.Tensor, own: torch.Tensor) -> Environments:
        points = PolynomialKernel().prepare(Points(values=values, components=1))
        scale = torch.ones(int(own.max()) + 1, dtype=torch.float64)
        slots = torch.zeros_like(own)
        return Environments(points=points, row_index=own, slots=slots, scale=scale)

    def found(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return moment_kernel(rows(a, owners[0]), rows(b, owners[1]), 8 * 5 * 2**2)

    pairs = (drawn[0] @ drawn[1].T).square()
    expected = torch.zeros(2, 4, dtype=torch.float64).index_add(0, owners[0], pairs)
    expected = torch.zeros(2, 3, dtype=torch.float64).index_add(1, owners[1], expected)
    torch.testing.assert_close(found(*drawn), expected, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(found, [x.requires_grad_() for x in drawn])


def test_a_patience_of_one_epoch_is_allowed():
    assert Network(patience=1).patience == 1
    with pytest.raises(ValueError, match="patience"):
        Network(patience=0)


def test_stresses_are_tensors_whatever_was_given():
    found = Stress(values=np.zeros((2, 3, 3), dtype=np.float32)).values
    assert isinstance(found, torch.Tensor)
    assert found.dtype == torch.float64


def test_the_unit_of_regularization_where_all_rows_are_equal():
    """It is the mean square of the rows then, not their variance, which is none."""
    rows = torch.tensor([[-3.0, 4.0]] * 5, dtype=torch.float64)
    assert absolute_regularization(rows, 0.1, 5) == pytest.approx(2.5)


def test_the_total_of_trials_is_known_before_they_are_made():
    """One sweep over decades and one over half decades; more only where sweeps are repeated."""
    reports: list[tuple[int, int]] = []

    def trial(weights: tuple[float, ...]) -> Trial:
        error = 1.0 + sum(weights)
        return Trial(term_weights=weights, regularization=1.0, rmse=error, judged=error)

    found = search_term_weights(trial, 3, progress=lambda *report: reports.append(report))
    assert all(done < total for done, total in reports[:-1])
    assert reports[0][1] == 1 + 3 * (len(_WEIGHT_GRID) + 2)
    assert reports[-1] == (len(found), len(found))
