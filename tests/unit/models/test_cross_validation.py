"""Closed-form cross-validation against refits of every fold."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multilode.models.solve.cross_validation import (
    cross_validated_residuals,
    make_folds,
    scan_regularizations,
)
from multilode.models.solve.spectrum import KernelTermSpectra, TallTermSpectra

REGULARIZATIONS = torch.tensor([1e-4, 1e-2, 1.0, 30.0], dtype=torch.float64)


def draw(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def unpenalized_columns(n_samples, kind):
    constant = torch.ones(n_samples, 1, dtype=torch.float64)
    columns = {"none": constant[:, :0], "intercept": constant}
    columns["baseline"] = torch.cat([constant, draw(99, n_samples, 2)], dim=1)
    return columns[kind]


def refitted_residuals(kernel, columns, y, folds, regularization):
    """Leave each fold out and solve the saddle-point system of the rest, by brute force."""
    result = torch.empty_like(y)
    for fold in folds.unique():
        out, rest = folds == fold, folds != fold
        inside = kernel[rest][:, rest] + regularization * torch.eye(int(rest.sum())).double()
        b = columns[rest]
        zero = torch.zeros(b.shape[1], b.shape[1]).double()
        system = torch.cat([torch.cat([inside, b], 1), torch.cat([b.T, zero], 1)])
        right = torch.cat([y[rest], torch.zeros(b.shape[1], y.shape[1]).double()])
        solution = torch.linalg.solve(system, right)
        predicted = torch.cat([kernel[out][:, rest], columns[out]], 1) @ solution
        result[out] = y[out] - predicted
    return result


@pytest.mark.parametrize("columns", ["none", "intercept", "baseline"])
@pytest.mark.parametrize("n_features", [3, 12, 40])
@pytest.mark.parametrize("n_folds", [2, 5, None], ids=["2", "5", "leave-one-out"])
def test_residuals_equal_those_of_refits(columns, n_features, n_folds):
    n_samples = 24
    x, y = draw(0, n_samples, n_features), draw(1, n_samples, 2)
    fixed = unpenalized_columns(n_samples, columns)
    folds = make_folds(n_samples, n_folds, seed=3)
    spectra = [KernelTermSpectra((x @ x.T,), fixed).spectrum((1.0,))]
    if n_features < n_samples - fixed.shape[1]:
        spectra.append(TallTermSpectra((x,), fixed).spectrum((1.0,)))
    for spectrum in spectra:
        computed = cross_validated_residuals(spectrum, y, folds, REGULARIZATIONS)
        for g, residuals in zip(REGULARIZATIONS, computed, strict=True):
            expected = refitted_residuals(x @ x.T, fixed, y, folds, g)
            torch.testing.assert_close(residuals, expected, rtol=1e-9, atol=1e-9)


def test_residuals_of_weighted_terms_and_grouped_folds_equal_those_of_refits():
    terms = (draw(0, 20, 4), draw(1, 20, 3))
    groups = torch.arange(20) // 3
    folds = make_folds(20, 3, seed=0, groups=groups)
    weights = (0.25, 1.0)
    kernel = sum(w * x @ x.T for w, x in zip(weights, terms, strict=True))
    y, fixed = draw(2, 20, 1), unpenalized_columns(20, "intercept")
    expected = refitted_residuals(kernel, fixed, y, folds, REGULARIZATIONS[1])
    for spectra in (
        TallTermSpectra(terms, fixed),
        KernelTermSpectra(tuple(x @ x.T for x in terms), fixed),
    ):
        computed = cross_validated_residuals(
            spectra.spectrum(weights), y, folds, REGULARIZATIONS[1:2]
        )
        torch.testing.assert_close(computed[0], expected, rtol=1e-9, atol=1e-9)


def test_interpolating_kernel_keeps_its_digits_at_tiny_regularization():
    x = draw(0, 12, 60)
    y = draw(1, 12, 1)
    folds = make_folds(12, 4, seed=0)
    g = torch.tensor([1e-10], dtype=torch.float64)
    spectrum = KernelTermSpectra((x @ x.T,), x.new_ones(12, 0)).spectrum((1.0,))
    computed = cross_validated_residuals(spectrum, y, folds, g)[0]
    expected = refitted_residuals(x @ x.T, x.new_ones(12, 0), y, folds, g[0])
    torch.testing.assert_close(computed, expected, rtol=1e-9, atol=1e-9)


def test_scan_finds_the_error_of_the_best_regularization():
    x, y = draw(0, 30, 10), draw(1, 30, 1)
    spectrum = TallTermSpectra((x,), x.new_ones(30, 1)).spectrum((1.0,))
    folds = make_folds(30, 5, seed=0)
    relative = torch.logspace(-6, 3, 10, dtype=torch.float64)
    spectrum = replace(spectrum, n_targets=7)
    best, error, shown, _ = scan_regularizations(spectrum, y, folds, relative).best
    fixed = x.new_ones(30, 1)
    errors = [
        float(refitted_residuals(x @ x.T, fixed, y, folds, g).square().mean().sqrt())
        for g in relative * spectrum.mean_eigenvalue
    ]
    assert error == pytest.approx(min(errors), rel=1e-9)
    left = refitted_residuals(x @ x.T, fixed, y, folds, best)[:7]
    assert shown == pytest.approx(float(left.square().mean().sqrt()), rel=1e-9)
    assert best == pytest.approx(
        float(relative[errors.index(min(errors))]) * spectrum.mean_eigenvalue
    )


def test_a_fold_that_holds_all_of_a_column_is_refused():
    column = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)[:, None]
    x, y = draw(0, 6, 9), draw(1, 6, 1)
    spectrum = KernelTermSpectra((x @ x.T,), column).spectrum((1.0,))
    folds = torch.tensor([0, 0, 1, 1, 2, 2])
    with pytest.raises(ValueError, match="no longer determined"):
        cross_validated_residuals(spectrum, y, folds, REGULARIZATIONS)


@settings(max_examples=50, deadline=None)
@given(n=st.integers(2, 60), n_folds=st.integers(2, 9), seed=st.integers(0, 99))
def test_folds_are_balanced_and_repeatable(n, n_folds, seed):
    folds = make_folds(n, n_folds, seed)
    sizes = torch.bincount(folds)
    assert len(sizes) == min(n, n_folds)
    assert int(sizes.max() - sizes.min()) <= 1
    assert torch.equal(folds, make_folds(n, n_folds, seed))


@settings(max_examples=50, deadline=None)
@given(
    groups=st.lists(st.integers(-3, 5), min_size=2, max_size=40).filter(lambda g: len(set(g)) > 1),
    n_folds=st.sampled_from([2, 3, None]),
)
def test_groups_stay_together(groups, n_folds):
    folds = make_folds(len(groups), n_folds, 0, torch.tensor(groups))
    number = {
        group: {int(f) for g, f in zip(groups, folds, strict=True) if g == group}
        for group in groups
    }
    assert all(len(folds_of_group) == 1 for folds_of_group in number.values())
    assert len(folds.unique()) == min(len(number), n_folds or len(number))


def test_seeds_differ():
    assert not torch.equal(make_folds(30, 5, 0), make_folds(30, 5, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 5, 0), "at least 2 folds"),
        ((9, 1, 0), "at least 2 folds"),
        ((3, 2, 0, torch.tensor([4, 4, 4])), "at least 2 folds"),
        ((3, 2, 0, torch.tensor([1, 2])), "2 group numbers for 3 samples"),
    ],
)
def test_impossible_folds_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_folds(*arguments)


@pytest.mark.parametrize("n_folds", [5, None], ids=["5", "leave-one-out"])
def test_dependent_features_leave_the_intercept_free(n_folds):
    x = draw(5, 30, 4)
    x = torch.cat([x, x, x @ draw(6, 4, 3), torch.ones(30, 2).double()], dim=1)
    fixed = unpenalized_columns(30, "intercept")
    folds = make_folds(30, n_folds, seed=1)
    spectrum = TallTermSpectra((x,), fixed).spectrum((1.0,))
    torch.testing.assert_close(
        fixed.T @ spectrum.vectors, torch.zeros(1, 13).double(), atol=1e-12, rtol=0
    )
    y = draw(7, 30, 1)
    computed = [
        cross_validated_residuals(spectrum, y + c, folds, REGULARIZATIONS) for c in (0, 1e3)
    ]
    torch.testing.assert_close(computed[0], computed[1], rtol=0, atol=1e-8)
    for g, residuals in zip(REGULARIZATIONS, computed[0], strict=True):
        expected = refitted_residuals(x @ x.T, fixed, y, folds, g)
        torch.testing.assert_close(residuals, expected, rtol=1e-8, atol=1e-9)
