"""Weights of structures against copies of them; errors of forces in cross-validation."""

import numpy as np
import pytest
import torch
from test_force_training import ENERGY, RECIPE, designed, ions

from multilode.data.dataset import DataError
from multilode.data.inputs import as_dataset
from multilode.models import Committee, KernelRidge, Ridge, SparseKernelRidge
from multilode.models.model import training_rows
from multilode.models.solve.cross_validation import make_folds
from multilode.models.solve.primal import absolute_regularization
from multilode.models.targets import Forces, Target
from multilode.prediction.training import train

FIXED = {"regularization": 1e-4, "term_weights": (1.0, 1.0)}
STRUCTURES, Y, FORCES = ions(8, seed=0)


def test_a_weight_counts_as_that_many_copies():
    """The normal equations are the same, those of the forces included."""
    copies = torch.tensor([1, 3, 2, 1, 1, 4, 1, 1])
    numbers = torch.arange(8).repeat_interleave(copies)
    parts = FORCES.split(STRUCTURES.counts.tolist())
    many = torch.cat([parts[i] for i in numbers.tolist()])
    once = designed(STRUCTURES, Ridge(**FIXED), Forces(values=FORCES, weight=0.7))
    often = designed(STRUCTURES.select(numbers), Ridge(**FIXED), Forces(values=many, weight=0.7))
    weighted = training_rows(once, Y[:, None], weights=copies.double())
    repeated = training_rows(often, Y[numbers, None])
    left, right = (torch.cat(rows.terms, dim=1) for rows in (weighted, repeated))
    torch.testing.assert_close(left.T @ left, right.T @ right, rtol=1e-10, atol=1e-10)
    found = left.T @ weighted.y
    torch.testing.assert_close(found, right.T @ repeated.y, rtol=1e-10, atol=1e-10)
    chosen = torch.tensor([5, 0, 1])
    some = weighted.select(chosen)
    torch.testing.assert_close(some.unweighted(some.y[:3])[:, 0], Y[chosen])


@pytest.mark.parametrize("estimator", [Ridge(**FIXED), SparseKernelRidge(n_active=5, **FIXED)])
def test_weights_change_what_is_fitted_well(estimator):
    options = {"y": Y, "estimator": estimator}
    plain = train(RECIPE, STRUCTURES, ENERGY, **options)
    equal = train(RECIPE, STRUCTURES, ENERGY, weights=torch.full((8,), 3.0), **options)
    given = (plain.predict(STRUCTURES).values, equal.predict(STRUCTURES).values)
    torch.testing.assert_close(*given, rtol=1e-9, atol=1e-10)  # only ratios matter
    heavy = torch.ones(8).double()
    heavy[3] = 1e4
    column = as_dataset(STRUCTURES).with_values({"w": heavy.tolist()})
    found = train(RECIPE, column, ENERGY, weights="w", **options).predict(STRUCTURES).values
    assert float((found - Y)[3].abs()) < 0.1 * float(
        (plain.predict(STRUCTURES).values - Y)[3].abs()
    )


def test_error_bars_do_not_depend_on_equal_weights():
    estimator = Committee(estimator=Ridge(**FIXED), n_members=4, fraction=0.5)
    bars = [
        train(RECIPE, STRUCTURES, ENERGY, y=Y, estimator=estimator, weights=weights).model
        for weights in (None, torch.full((8,), 2.0), torch.linspace(1, 2, 8))
    ]
    first, equal, other = (model.calibration for model in bars)
    torch.testing.assert_close(first.errors, equal.errors)
    torch.testing.assert_close(first.scale, equal.scale)
    assert float(other.errors.abs().max()) < 2 * float(first.errors.abs().max())  # in eV, all


def test_weights_that_cannot_be_used_are_named():
    options = {"y": Y, "estimator": Ridge(**FIXED)}
    with pytest.raises(DataError, match=r"weights of shape \[7\] for 8 structures"):
        train(RECIPE, STRUCTURES, ENERGY, weights=torch.ones(7), **options)
    column = as_dataset(STRUCTURES).with_values({"w": [1.0] * 5 + [0.0] * 3})
    with pytest.raises(DataError, match="frame 5, key 'w': the weight is 0; give each"):
        train(RECIPE, column, ENERGY, weights="w", **options)
    full, mean = KernelRidge(**FIXED), Target(key="energy", reduce="mean")
    with pytest.raises(ValueError, match="leave the weights out of a full kernel"):
        train(RECIPE, STRUCTURES, ENERGY, y=Y, estimator=full, weights=torch.ones(8))
    with pytest.raises(ValueError, match="without an intercept only"):
        train(RECIPE, STRUCTURES, mean, weights=torch.ones(8), **options)


def test_errors_of_forces_in_cross_validation_are_those_of_refits():
    """Every fold is left out in turn and fitted anew, by the normal equations."""
    estimator = Ridge(term_weights=(1.0, 0.3), folds=4)
    design = designed(STRUCTURES, estimator, Forces(values=FORCES, weight=0.7))
    model = estimator.fit(design, Y[:, None])
    (trial,) = model.cv_table
    rows = training_rows(design, Y[:, None])
    folds = make_folds(len(rows), 4, estimator.seed, rows.groups)
    scales = [float(term.square().sum(dim=1).mean().sqrt()) for term in rows.terms]
    triples = zip(rows.terms, scales, (1.0, 0.3), strict=True)
    x = torch.cat([term * (w**0.5 / scale) for term, scale, w in triples], dim=1)
    g = absolute_regularization(x, trial.regularization, rows.n_targets)
    left = torch.zeros_like(rows.y)
    for fold in folds.unique():
        out = folds == fold
        kept = x[~out]
        gram = kept @ kept.T + g * torch.eye(len(kept), dtype=torch.float64)
        weights = kept.T @ torch.linalg.solve(gram, rows.y[~out])
        left[out] = rows.y[out] - x[out] @ weights
    energies, forces = left[:8].numpy(), left[8:].numpy() / 0.7
    assert trial.rmse == pytest.approx(np.sqrt(np.mean(energies**2)), rel=1e-5)
    assert trial.forces == pytest.approx(np.sqrt(np.mean(forces**2)), rel=1e-5)
    assert model.summary().parts[0].cv_force_rmse == trial.forces
    alone = estimator.fit(designed(STRUCTURES, estimator, None), Y[:, None])
    assert alone.summary().parts[0].cv_force_rmse is None
