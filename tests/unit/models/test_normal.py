"""Accumulated normal equations against least squares on the rows themselves."""

import pytest
import torch

from multilode.models.solve.normal import NormalEquations, RowGroup, principal_combinations
from multilode.models.solve.normal_fit import solve_normal
from multilode.models.solve.term_weights import Search

WIDTHS = (5, 8)


def row_groups(n, seed, factor=1.0):
    generator = torch.Generator().manual_seed(seed)
    terms = tuple(torch.randn(n, p, generator=generator).double() for p in WIDTHS)
    values = torch.randn(n, generator=generator).double()
    return RowGroup(terms, values, torch.full((n,), factor, dtype=torch.float64))


def added(parts, folds, bases=None):
    equations = NormalEquations.empty(WIDTHS, max(folds) + 1, bases)
    for part, fold in zip(parts, folds, strict=True):
        equations.add(part, fold)
    return equations


def stacked(parts):
    groups = [group for part in parts for group in part]
    rows = [torch.cat(g.terms, dim=1) * g.factors[:, None] for g in groups]
    return torch.cat(rows), torch.cat([g.values * g.factors for g in groups])


PARTS = [[row_groups(6, k), row_groups(9, 10 + k, factor=0.5)] for k in range(4)]


def test_weights_minimize_the_penalized_error():
    search = Search(regularization=1e-2, term_weights=(1.0, 0.1), folds=None, seed=0)
    found = solve_normal(added(PARTS, [0] * 4), search).solution
    rows, y = stacked(PARTS)
    weights = torch.cat(found.weights).requires_grad_()
    scales = [rows[:, :5].square().sum(dim=1).mean() ** 0.5]
    scales += [rows[:, 5:].square().sum(dim=1).mean() ** 0.5]
    assert found.scales == pytest.approx([float(s) for s in scales])
    stack = torch.cat([rows[:, :5] / scales[0], rows[:, 5:] / scales[1] * 0.1**0.5], dim=1)
    targets = torch.cat([torch.arange(6) + 15 * k for k in range(4)])
    mean = stack[targets].mean(dim=0) ** 2 * len(targets)
    unit = (stack.square().sum() - mean.sum()) / len(stack)
    penalty = scales[0] ** 2 * weights[:5].square().sum()
    penalty = penalty + scales[1] ** 2 / 0.1 * weights[5:].square().sum()
    loss = (y - rows @ weights[:, 0]).square().sum() + 1e-2 * unit * penalty
    (slope,) = torch.autograd.grad(loss, weights)
    assert slope.abs().max() < 1e-10 * rows.square().sum()


def test_cross_validated_error_is_that_of_refits():
    search = Search(regularization=None, term_weights=(1.0, 1.0), folds=2, seed=0)
    folds = [0, 1, 1, 0]
    found = solve_normal(added(PARTS, folds), search)
    error = 0.0
    for fold in (0, 1):
        left = [part for part, own in zip(PARTS, folds, strict=True) if own == fold]
        rows, y = stacked(left)
        weights = torch.cat(found.without)[:, fold]
        error += float((y - rows @ weights).square().sum())
    assert found.judged == pytest.approx((error / 60) ** 0.5, rel=1e-10)


def test_all_combinations_are_the_columns_themselves():
    sample, _ = stacked(PARTS)
    bases = principal_combinations((sample[:, :5], sample[:, 5:]), 13)
    assert [basis.shape for basis in bases] == [(5, 5), (8, 8)]
    search = Search(regularization=1e-4, term_weights=(1.0, 0.3), folds=None, seed=0)
    whole = solve_normal(added(PARTS, [0] * 4), search).solution
    combined = solve_normal(added(PARTS, [0] * 4, bases), search).solution
    for own, other in zip(whole.weights, combined.weights, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-12)


def test_combinations_carry_most_of_a_sample():
    generator = torch.Generator().manual_seed(1)
    few = torch.randn(30, 3, generator=generator).double()
    rows = few @ torch.randn(3, 8, generator=generator).double()
    (basis,) = principal_combinations((rows,), 3)
    torch.testing.assert_close(rows @ basis @ basis.T, rows, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(basis.T @ basis, torch.eye(3).double(), rtol=0, atol=1e-12)


def test_tensors_keep_everything():
    sample, _ = stacked(PARTS)
    bases = principal_combinations((sample[:, :5], sample[:, 5:]), 6)
    equations = added(PARTS[:2], [0, 1], bases)
    again = NormalEquations.of_tensors(WIDTHS, equations.tensors())
    for one in (equations, again):
        one.add(PARTS[2], 1)
    assert equations.tensors().keys() == again.tensors().keys()
    for name, tensor in equations.tensors().items():
        assert torch.equal(tensor, again.tensors()[name])
