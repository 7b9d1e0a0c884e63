"""Scales of the columns of features in a linear fit."""

import pytest
import torch

from multilode.models import Problem, Ridge
from multilode.models.rows import regression_rows
from multilode.models.solve.scaling import check_scaling, solve_scaled


def rows(factor=1.0, n=40):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 6, generator=generator, dtype=torch.float64)
    x = x * torch.tensor([1.0, 1, 1, 1e-3, 1e-3, 0.0]).double()
    y = 500 * x[:, 3] + 0.1 * x[:, 0]  # what matters is in a small column
    y = y + 0.01 * torch.randn(n, generator=generator, dtype=torch.float64)
    x[:, 0] *= factor
    problem = Problem(centers=(1,), n_terms=1, terms=(0,))
    return regression_rows(problem, (x,), y[:, None]), x, y


@pytest.mark.parametrize("scaling", ["standard", "root", "none"])
def test_predictions_are_those_of_columns_that_were_scaled(scaling):
    own, x, _ = rows()
    solution = Ridge(scaling=scaling, regularization=1e-3).solve(own)
    power = {"none": 0.0, "root": 0.5, "standard": 1.0}[scaling]
    spreads = x.square().mean(dim=0).sqrt()
    factors = spreads.clamp(min=1e-6 * float(spreads.max())).pow(-power)
    z = x * factors
    penalty = 1e-3 * (z - z.mean(dim=0)).square().sum() / len(z)
    expected = z @ torch.linalg.solve(z.T @ z + penalty * torch.eye(6).double(), z.T @ own.y)
    torch.testing.assert_close(solution.predict((x,)), expected, rtol=1e-6, atol=1e-8)


def test_standard_columns_do_not_depend_on_their_units():
    values = []
    for factor in (1.0, 100.0):
        own, x, _ = rows(factor)
        values.append(Ridge(scaling="standard").solve(own).predict((x,)))
    torch.testing.assert_close(values[0], values[1], rtol=1e-8, atol=1e-10)
    plain = [
        Ridge(regularization=1e-2).solve(rows(f)[0]).predict((rows(f)[1],)) for f in (1.0, 100.0)
    ]
    assert float((plain[0] - plain[1]).abs().max()) > 1e-3


def test_the_best_scaling_is_chosen_also_for_members_of_committees():
    own, _, _ = rows()
    assert solve_scaled(own, "auto", lambda r: Ridge().solve(r))[0] in ("standard", "root")
    subsets = [torch.arange(0, 30), torch.arange(10, 40)]
    found = Ridge(scaling="auto").solve(own, subsets=subsets)
    best = solve_scaled(own, "auto", lambda r: Ridge().solve(r))[0]
    expected = Ridge(scaling=best).solve(own, subsets=subsets)
    torch.testing.assert_close(found.weights[0], expected.weights[0], rtol=0, atol=0)


def test_an_unknown_scaling_is_refused():
    with pytest.raises(ValueError, match="'auto'"):
        check_scaling("minmax")
