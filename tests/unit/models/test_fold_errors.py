"""Errors of folds: those of fits that never saw their fold, and the sums that models report."""

from functools import partial

import pytest
import torch

from multilode.models import Committee, KernelRidge, Ridge, SparseKernelRidge
from multilode.models.model import training_rows
from multilode.models.solve.cross_validation import make_folds
from multilode.models.solve.fold_errors import MOST_PARTS, best_of_each, folds_kept, folds_wanted
from multilode.models.solve.primal import _decomposed
from multilode.models.solve.search import settle
from multilode.models.solve.term_weights import Search
from regressions import fitted, pooled


def draw(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def given(**settings):
    return Search(
        **{"regularization": 1e-2, "term_weights": (1.0,), "folds": 4, **settings}, seed=3
    )


def test_folds_are_those_of_fits_without_them():
    x, y = draw(0, 23, 6), draw(1, 23, 1)
    groups = torch.arange(23) // 2
    rows = training_rows(pooled(x), y, groups=groups)
    with folds_kept() as kept:
        settled = settle(rows, given(), partial(_decomposed, intercept=False))
    (errors,) = kept
    folds, g = make_folds(23, 4, 3, groups), settled.regularization
    for fold in range(4):
        rest, own = folds != fold, folds == fold
        square = x[rest].T @ x[rest] + g * torch.eye(6, dtype=torch.float64)
        weights = torch.linalg.solve(square, x[rest].T @ y[rest])
        missed = (y[own] - x[own] @ weights).square().sum()
        torch.testing.assert_close(errors.squares[fold], missed)
        assert int(errors.counts[fold]) == int(own.sum())


@pytest.mark.parametrize(
    "estimator",
    [Ridge(), SparseKernelRidge(n_active=30), KernelRidge(), Committee(estimator=Ridge())],
    ids=lambda e: type(e).__name__,
)
def test_together_they_are_the_error_that_a_model_reports(random_features, estimator):
    train = random_features(0, counts=[1] * 30, widths=[7, 5], species=(1,))
    with folds_kept() as kept:
        model = fitted(estimator, train, draw(1, 30, 1))
    (errors,) = best_of_each(kept)
    found = (float(errors.squares.sum()) / 30) ** 0.5
    assert found == pytest.approx(model.summary().cv_rmse, rel=1e-9)
    assert len(errors.squares) == 5


def test_given_settings_are_judged_only_where_somebody_asks():
    rows = training_rows(pooled(draw(0, 20, 6)), draw(1, 20, 1))
    decompose = partial(_decomposed, intercept=False)
    plain = settle(rows, given(), decompose)
    assert not folds_wanted()
    with folds_kept() as kept:
        judged = settle(rows, given(), decompose)
    assert judged.choice == plain.choice
    assert len(kept) == 1
    assert not folds_wanted()


def test_many_folds_are_put_together():
    n = 2 * MOST_PARTS
    rows = training_rows(pooled(draw(0, n, 6)), draw(1, n, 1))
    with folds_kept() as kept:
        settle(rows, given(folds=None), partial(_decomposed, intercept=False))
    assert kept[0].counts.tolist() == [n // 10] * 10


def test_of_several_scales_of_columns_the_chosen_one_is_kept(random_features):
    estimator = Ridge(scaling="auto")
    train = random_features(0, counts=[1] * 30, widths=[7, 5], species=(1,))
    with folds_kept() as kept:
        model = fitted(estimator, train, draw(1, 30, 1))
    assert len(kept) == 3
    (errors,) = best_of_each(kept)
    assert (float(errors.squares.sum()) / 30) ** 0.5 == pytest.approx(model.summary().cv_rmse)
