"""The fit that dipeptides judge, and what the study of peptides makes of real molecules."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from multilode import datasets
from multilode.data.dataset import Dataset
from multilode.models import (
    RELATIVE_REGULARIZATIONS,
    FeatureDesign,
    PooledMap,
    Problem,
    SparseKernelRidge,
    make_folds,
)
from multilode.models.model import training_rows
from multilode.symmetry.wigner import wigner_d
from multilode_papers.systems.peptide_fit import Rows, fit_rows
from multilode_papers.systems.peptide_models import Part, kernels, residues, subset
from multilode_papers.systems.polypeptides import learn
from multilode_papers.systems.study import Study

TERMS = ("(rho x rho)^2", "rho x V")
TRACE = Part(degree=0, n_radial=2, max_angular=1, n_active=30, n_explored=30)
ANISOTROPIC = Part(degree=2, n_radial=2, max_angular=2, n_active=10, n_explored=20)
STUDY = Study(quick=True, folder=None, seed=0, stage=lambda _: lambda done, total: None)


@cache
def molecules() -> tuple[Dataset, Dataset]:
    """Amino acids and dipeptides, and chains of all lengths."""
    train = datasets.load("polypeptides", "train", index="27300::9")
    return train, datasets.load("polypeptides", "test", index="::9")


def rows(components: int = 1, seed: int = 0) -> Rows:
    """Two terms of random features with a linear target and noise."""
    rng = torch.Generator().manual_seed(seed)
    judged = torch.arange(40) % 3 == 0
    terms = tuple(
        scale * torch.randn(40 * components, n, generator=rng, dtype=torch.float64)
        for scale, n in ((1.0, 5), (100.0, 4))
    )
    noise = torch.randn(40 * components, 1, generator=rng, dtype=torch.float64)
    y = terms[0] @ torch.ones(5, 1).double() + 0.02 * terms[1].sum(dim=1, keepdim=True) + noise
    return Rows(terms=terms, y=y, judged=judged, components=components)


def solved(rows: Rows, weights: tuple[float, ...], regularization: float) -> torch.Tensor:
    """Ridge regression as least squares with rows of the penalty below those of the data."""
    columns = [
        x / s**0.5 * w**0.5 for x, s, w in zip(rows.terms, rows.scales, weights, strict=True)
    ]
    return augmented(torch.cat(columns, dim=1), rows.y, regularization * sum(weights))


def augmented(x: torch.Tensor, y: torch.Tensor, penalty: float) -> torch.Tensor:
    """Weights of |y - X w|^2 + g |w|^2."""
    below = penalty**0.5 * torch.eye(x.shape[1], dtype=x.dtype)
    wanted = torch.cat([y, torch.zeros(x.shape[1], 1, dtype=x.dtype)])
    return torch.linalg.lstsq(torch.cat([x, below]), wanted).solution


@pytest.mark.parametrize("components", [1, 5])
def test_the_error_of_left_out_dipeptides_is_that_of_fits_without_them(components):
    data, weights = rows(components), (1.0, 0.1)
    found = fit_rows(data, term_weights=weights, seed=3)
    folds = make_folds(int(data.judged.sum()), 5, 3)
    scaled = [x / s**0.5 * w**0.5 for x, s, w in zip(data.terms, data.scales, weights, strict=True)]
    x = torch.cat(scaled, dim=1)
    number = torch.full((len(data.judged),), -1)
    number[data.judged] = folds
    number = number.repeat_interleave(components)
    errors = []
    for g in RELATIVE_REGULARIZATIONS.tolist():
        residuals = [
            data.y[number == k]
            - x[number == k] @ augmented(x[number != k], data.y[number != k], g * 1.1)
            for k in range(5)
        ]
        errors.append(float(torch.cat(residuals).square().mean().sqrt()))
    assert found.rmse == pytest.approx(min(errors), rel=1e-8)
    assert found.regularization == float(RELATIVE_REGULARIZATIONS[int(np.argmin(errors))])


def test_all_dipeptides_can_be_left_out_at_once():
    data = rows()
    found = fit_rows(data, term_weights=(1.0, 1.0), folds=1)
    x = torch.cat([t / s**0.5 for t, s in zip(data.terms, data.scales, strict=True)], dim=1)
    weights = augmented(x[~data.judged], data.y[~data.judged], 2 * found.regularization)
    error = (x[data.judged] @ weights - data.y[data.judged]).square().mean().sqrt()
    assert found.rmse == pytest.approx(float(error), rel=1e-8)


def test_weights_solve_the_penalised_least_squares_of_all_rows():
    data, weights = rows(), (0.1, 1.0)
    found = fit_rows(data, term_weights=weights)
    expected = solved(data, weights, found.regularization)
    factors = [(w / s) ** 0.5 for w, s in zip(weights, data.scales, strict=True)]
    per_column = torch.tensor(factors).double().repeat_interleave(torch.tensor([5, 4]))
    assert torch.allclose(found.weights, expected * per_column[:, None], rtol=1e-8)


def test_the_search_finds_no_worse_weights_than_it_starts_with():
    data = rows()
    found, equal = fit_rows(data), fit_rows(data, term_weights=(1.0, 1.0))
    assert max(found.term_weights) == 1.0
    assert found.rmse == min(error for _, error in found.trials) <= equal.rmse


def test_a_fit_is_that_of_the_sparse_kernel_with_the_same_settings():
    train, test = molecules()
    own = kernels(TRACE, train, test, TERMS[:1], 0)
    found = fit_rows(own.train)
    # the unit of the library is the mean eigenvalue about the mean, ours that about zero
    x = own.train.terms[0]
    relative = found.regularization * float(x.square().sum() / (x - x.mean(dim=0)).square().sum())
    own_map = PooledMap(problem=Problem(centers=(1,), n_terms=1, terms=(0,)))
    library = SparseKernelRidge(regularization=relative, intercept=False)
    solution = library.solve(training_rows(FeatureDesign(map=own_map, terms=(x,)), own.train.y))
    new = (own.test[TERMS[0]],)
    assert torch.allclose(solution.predict(new), found.predict(new), rtol=1e-6)


def test_predicted_anisotropic_parts_rotate_with_the_molecules():
    train, test = molecules()
    turn = torch.from_numpy(Rotation.random(random_state=0).as_matrix())
    structures = replace(test.structures, positions=test.structures.positions @ turn.T)
    turned = replace(test, structures=structures)
    predicted = []
    for data in (test, turned):
        own = kernels(ANISOTROPIC, train, data, TERMS, 0)
        found = fit_rows(own.train, term_weights=(1.0, 0.3))
        predicted.append(found.predict([own.test[name] for name in TERMS]).reshape(-1, 5))
    expected = predicted[0] @ wigner_d(turn, 2).T
    assert torch.allclose(predicted[1], expected, atol=1e-5 * float(expected.abs().max()))


def test_parts_hold_the_trace_and_all_of_the_norm():
    test = molecules()[1]
    tensors = test.column("polarizability").reshape(-1, 3, 3)
    parts = [p.values(test).reshape(len(test), -1).numpy() for p in (TRACE, ANISOTROPIC)]
    assert np.abs(parts[0][:, 0]) == pytest.approx(np.trace(tensors.T) / 3**0.5)
    squares = sum((p**2).sum(axis=1) for p in parts)
    assert squares == pytest.approx((tensors**2).sum(axis=(1, 2)))


def test_subsets_are_nested_and_hold_what_was_asked_for():
    train = molecules()[0]
    small, large = (subset(train, *n, 1) for n in ((4, 9), (8, 20)))
    assert set(small) <= set(large)
    assert sorted(residues(train)[small]) == [1] * 4 + [2] * 9
    assert subset(train, 8, 20, 2) != large


def test_what_is_learned_is_better_than_the_composition():
    train, test = molecules()
    found, own = learn(STUDY, TRACE, train, test, {"mix": TERMS}, sizes=(30,))
    composition = (own.added - own.reference).square().mean().sqrt()
    error = (found["mix"].predicted - own.reference).square().mean().sqrt()
    assert error < 0.8 * composition
    assert found["mix"].curve.sizes == [30, len(train)]
    atoms = test.structures.counts[:, None]
    per_atom = ((found["mix"].predicted - own.reference) / atoms).square().mean().sqrt()
    assert found["mix"].curve.errors[-1] == pytest.approx(float(per_atom))
