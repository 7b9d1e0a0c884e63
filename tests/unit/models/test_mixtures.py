"""Weighted sums of a linear kernel of one term and a quadratic one of another."""

from dataclasses import replace

import pytest
import torch

from multilode.models import KernelRidge, Ridge, SparseKernelRidge, polynomial_kernels
from multilode.models.solve.cross_validation import make_folds
from multilode.representation.representation import Representation
from multilode.symmetry.cartesian import tensor_kind
from multilode.symmetry.irrep import Irrep
from multilode.symmetry.wigner import wigner_d
from regressions import collected, fitted, learned, learner, tensor_regression
from toy_tensors import FIELDS, molecules, targets

MIXED = {"kernel": polynomial_kernels(zeta=(2, 1)), "folds": 4}
KINDS = {
    "full": KernelRidge(**MIXED),
    "sparse": SparseKernelRidge(**MIXED, n_active=1000, n_explored=1000),
}


def data(random_features, seed, quadratic, linear, n=80):
    """Sums over centers: products of features of the first term, features of the second one."""
    features = random_features(seed, counts=[2] * n, widths=[4, 6], species=(1,))
    first, second = features.invariants
    local = quadratic * first[:, 0] * first[:, 1] + linear * second @ torch.arange(1.0, 7).double()
    g = torch.Generator().manual_seed(seed + 5)
    y = local.view(n, 2).sum(dim=1) + 0.3 * torch.randn(n, generator=g).double()
    return features, y[:, None]


def cross_validated(estimator, features, y, weights, regularization):
    """Error of refits without one fold at a time, the number that is minimized."""
    fixed = replace(estimator, term_weights=weights, regularization=regularization)
    design = collected(fixed, features, centers=(1,))
    folds, squares = make_folds(len(y), 4, 0), []
    for fold in range(4):
        rows = (folds != fold).nonzero()[:, 0]
        predicted = learner(fixed, design.select(rows), design)(torch.arange(len(rows)), y[rows])
        squares.append((predicted - y)[folds == fold].square())
    return float(torch.cat(squares).mean().sqrt())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("parts", [(1.0, 0.3), (0.3, 1.0), (1.0, 0.02)], ids=repr)
def test_chosen_weights_are_close_to_the_best_of_a_fine_grid(random_features, kind, parts):
    features, y = data(random_features, 0, *parts)
    estimator = KINDS[kind]
    design = collected(estimator, features, centers=(1,))
    model = estimator.fit(design, y)
    found = model.summary().cv_rmse
    best = float("inf")
    for ratio in torch.linspace(-5, 5, 21).tolist():
        weights = (1.0, 10**ratio) if ratio < 0 else (10**-ratio, 1.0)
        fixed = replace(estimator, term_weights=weights).fit(design, y)
        best = min(best, fixed.summary().cv_rmse)
    assert found < 1.03 * best
    mixed = replace(estimator, term_weights=model.term_weights)
    assert found == pytest.approx(mixed.fit(design, y).summary().cv_rmse, rel=1e-9)


def test_the_error_that_is_minimized_is_that_of_refits(random_features):
    """Scales and the unit of the regularization differ a little from fold to fold."""
    features, y = data(random_features, 0, 1.0, 0.3)
    model = fitted(KINDS["full"], features, y, centers=(1,))
    found = model.summary().cv_rmse
    settings = model.term_weights, model.regularization
    assert found == pytest.approx(cross_validated(KINDS["full"], features, y, *settings), rel=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mixture_is_better_than_each_of_its_terms(random_features, kind):
    features, y = data(random_features, 0, 1.0, 0.3)
    new, reference = data(random_features, 1, 1.0, 0.3)
    errors = {}
    for weights in (None, (1.0, 0.0), (0.0, 1.0)):
        estimator = replace(KINDS[kind], term_weights=weights)
        model = fitted(estimator, features, y, centers=(1,))
        errors[weights] = float((model.predict(new) - reference).square().mean().sqrt())
    assert errors[None] < 0.5 * errors[1.0, 0.0]
    assert errors[None] < 0.5 * errors[0.0, 1.0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_ends_are_the_pure_terms(random_features, kind):
    features, y = data(random_features, 0, 1.0, 0.3)
    fixed = {"regularization": 1e-3}
    for number, zeta in enumerate((2, 1)):
        weights = tuple(float(k == number) for k in range(2))
        mixed = replace(KINDS[kind], term_weights=weights, **fixed)
        found = fitted(mixed, features, y, centers=(1,)).predict(features)
        alone = replace(features, terms=features.terms[number : number + 1])
        pure = Ridge(**fixed) if zeta == 1 else KernelRidge(**fixed)
        expected = fitted(pure, alone, y, centers=(1,)).predict(alone)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [0, 1])
def test_what_is_of_one_term_is_given_to_it(random_features, kind, number):
    features, y = data(random_features, 0, 1.0 - number, float(number))
    model = fitted(KINDS[kind], features, y, centers=(1,))
    assert model.term_weights[number] == 1.0
    assert model.term_weights[1 - number] <= 0.032


@pytest.mark.parametrize("estimator", KINDS.values(), ids=KINDS)
def test_tensors_whose_terms_do_not_have_every_irrep(estimator):
    """A potential alone has no axial vector: that irrep is left with the other term."""
    own = replace(estimator, regularization=1e-4, term_weights=(1.0, 0.3))
    regression = tensor_regression("matrix", own)
    recipe = Representation(
        fields=FIELDS, products=(("rho", "V"), ("V",)), species=(1, 6, 8), centers=(6, 8),
        irreps=tuple(sorted({*regression.feature_irreps, Irrep(1, -1)})),
    )  # fmt: skip
    train = recipe.compute(molecules(12))
    y = targets(molecules(12), "matrix") + torch.linspace(0, 1, 9).double()  # not symmetric
    model, _ = learned(regression, recipe, train, y)
    axial, polar = model.parts[Irrep(1, -1)], model.parts[Irrep(2)]
    assert [kernel.zeta for kernel in axial.kernels] == [2]
    assert [kernel.zeta for kernel in polar.kernels] == [2, 1]
    assert axial.term_weights == (1.0,)
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(4)).double())
    before, after = (
        model.predict(recipe.compute(molecules(3, seed=9, rotation=r))) for r in (None, q)
    )
    proper = bool(torch.linalg.det(q) > 0)
    for irrep, block in tensor_kind("matrix").to_spherical(before).items():
        expected = wigner_d(q, irrep.degree) @ block * (1 if proper else irrep.parity)
        found = tensor_kind("matrix").to_spherical(after)[irrep]
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


def test_settings_for_another_number_of_terms():
    own = KernelRidge(kernel=polynomial_kernels(zeta=(2, 1, 1)))
    regression = tensor_regression("vector", own)
    recipe = Representation(
        fields=FIELDS, products=(("rho", "V"), ("V",)), species=(1, 6, 8), centers=(6, 8),
        irreps=regression.feature_irreps,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"3 kernels for 2 terms"):
        regression.map(recipe, lambda n, seed: iter([recipe.compute(molecules(2))]))
