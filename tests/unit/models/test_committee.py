"""Committees against members that are fitted one by one."""

import pytest
import torch

from multilode.models import Committee, KernelRidge, Ridge, polynomial_kernels
from multilode.models.committee.calibration import fraction_inside
from multilode.representation.representation import Representation
from multilode.symmetry.cartesian import tensor_kind
from multilode.symmetry.irrep import Irrep
from regressions import collected, copied, fitted, learned, learner, tensor_regression
from toy_tensors import FIELDS, molecules, targets

SHARED = {"regularization": 1e-3, "term_weights": (1.0, 0.4)}
LINEAR = KernelRidge(kernel=polynomial_kernels(zeta=1), **SHARED)
CUBIC = KernelRidge(kernel=polynomial_kernels(zeta=3, normalize=True), **SHARED)
MEMBERS = {
    "ridge": (Ridge(**SHARED), "sum"),
    "ridge of means": (Ridge(**SHARED), "mean"),
    "linear kernel": (LINEAR, "sum"),
    "kernel": (KernelRidge(**SHARED), "mean"),
    "cubic kernel": (CUBIC, "sum"),
}


def data(random_features, n=60, seed=0, widths=(5, 4), noise=0.1):
    """Sums of smooth functions of the features of centers, with noise."""
    features = random_features(seed, counts=[1 + k % 3 for k in range(n)], widths=list(widths))
    local = sum((t[:, 0] + 0.5 * torch.sin(t[:, 1] * t[:, 2])) for t in features.invariants)
    y = torch.zeros(n, dtype=torch.float64).index_add(0, features.structure_index, local)
    g = torch.Generator().manual_seed(seed + 1)
    return features, (y + noise * torch.randn(n, generator=g).double())[:, None]


@pytest.mark.parametrize("name", MEMBERS)
def test_columns_are_members_that_are_fitted_one_by_one(random_features, name):
    """To the same penalty: that of all structures, in absolute terms."""
    features, y = data(random_features)
    y = torch.cat([y, y.square()], dim=1)
    estimator, reduce = MEMBERS[name]
    committee = Committee(estimator=estimator, n_members=4, seed=3)
    design = collected(committee, features, reduce=reduce)
    model = committee.fit(design, y)
    every = model.members.predict(features).unflatten(1, (4, 2))
    if isinstance(estimator, Ridge):
        weighted = _gram_of_ridge(model, design)
    else:
        parts = design.beside(design)
        weighted = sum(f * k for f, k in zip(model.members.factors, parts, strict=True))
    intercept = reduce == "mean"
    unit = (weighted.trace() - weighted.mean() * 60) / 60
    g = 1e-3 * float(unit)
    for member, rows in enumerate(committee.draw(60, None)):
        own, ones = weighted[rows][:, rows], torch.ones(len(rows), 1, dtype=torch.float64)
        system = own + g * torch.eye(len(rows), dtype=torch.float64)
        if intercept:  # the saddle point of a penalized fit with a free constant
            system = torch.cat([torch.cat([system, ones], 1), torch.cat([ones.T, ones[:1] * 0], 1)])
        solution = torch.linalg.solve(
            system, torch.cat([y[rows], y[:1] * 0]) if intercept else y[rows]
        )
        expected = weighted[:, rows] @ solution[: len(rows)]
        expected = expected + (solution[-1] if intercept else 0)
        torch.testing.assert_close(every[:, member], expected, rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(model.predict(features), every.mean(dim=1), rtol=1e-9, atol=1e-9)
    mean, std = model.predict_with_std(features)
    torch.testing.assert_close(mean, every.mean(dim=1))
    torch.testing.assert_close(std, model.calibration.scale * every.std(dim=1, correction=1))


def _gram_of_ridge(model, design):
    members = model.members
    intercept = members.reduce == "mean"
    triples = zip(design.terms, members.scales, members.term_weights, strict=True)
    total = 0
    for x, scale, weight in triples:
        about = x - x.mean(dim=0) if intercept else x
        total = total + weight / scale**2 * about @ about.T
    return total


def test_ridge_and_linear_kernel_are_the_same_committee(random_features):
    features, y = data(random_features)
    linear, kernel = (Committee(estimator=MEMBERS[name][0]) for name in ("ridge", "linear kernel"))
    new, _ = data(random_features, seed=9)
    found = [fitted(c, features, y).predict_with_std(new) for c in (linear, kernel)]
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)


def test_more_features_than_structures_give_the_same(random_features):
    """Features are turned into as many as there are structures first."""
    features, y = data(random_features, n=30, widths=(40, 30))
    wide = Committee(estimator=Ridge(**SHARED), n_members=5)
    found = fitted(wide, features, y).members.predict(features)
    kernel = Committee(estimator=LINEAR, n_members=5)
    expected = fitted(kernel, features, y).members.predict(features)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


def test_members_leave_out_whole_groups_and_repeat_with_the_seed():
    groups = torch.arange(30) // 3 * 7
    committee = Committee(estimator=Ridge(), n_members=6, fraction=0.7, seed=5)
    subsets = committee.draw(30, groups)
    for rows in subsets:
        assert len(rows) == 21
        assert sorted(groups[rows].unique(return_counts=True)[1].tolist()) == [3] * 7
    again = Committee(estimator=Ridge(), n_members=6, fraction=0.7, seed=5).draw(30, groups)
    assert all(torch.equal(a, b) for a, b in zip(subsets, again, strict=True))
    other = Committee(estimator=Ridge(), n_members=6, fraction=0.7, seed=6).draw(30, groups)
    assert not all(torch.equal(a, b) for a, b in zip(subsets, other, strict=True))


def test_bars_hold_as_many_errors_as_expected_on_new_data(random_features):
    features, y = data(random_features, n=400)
    committee = Committee(estimator=Ridge(), n_members=16)
    model = fitted(committee, features, y)
    new, reference = data(random_features, n=2000, seed=7)
    mean, bars = model.predict_with_std(new)
    assert 0.6 < fraction_inside(reference - mean, bars) < 0.74
    assert 0.9 < fraction_inside(reference - mean, 2 * bars) < 0.98
    assert model.calibration.inside == pytest.approx(model.calibration.expected, abs=0.06)


@pytest.mark.parametrize("name", ["ridge", "kernel"])
def test_a_learner_is_a_fit_to_the_subset(random_features, name):
    features, y = data(random_features)
    new, _ = data(random_features, seed=2)
    estimator, reduce = MEMBERS[name]
    committee = Committee(estimator=estimator, n_members=5)
    train, test = collected(committee, features, new, reduce=reduce)
    groups, rows = torch.arange(60) // 2, torch.arange(10, 50)
    found = learner(committee, train, test, groups)(rows, y[rows])
    expected = committee.fit(train.select(rows), y[rows], groups=groups[rows]).predict(new)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", MEMBERS)
def test_files_bring_back_members_and_bars(random_features, name):
    features, y = data(random_features)
    estimator, reduce = MEMBERS[name]
    model = fitted(Committee(estimator=estimator), features, y, reduce=reduce)
    again = copied(model)
    for a, b in zip(
        model.predict_with_std(features), again.predict_with_std(features), strict=True
    ):
        assert torch.equal(a, b)
    assert again.members.summary() == model.members.summary()


@pytest.mark.parametrize("estimator", [Ridge(**SHARED), KernelRidge(**SHARED)], ids=repr)
def test_bars_of_tensors_are_the_diagonal_of_a_covariance_that_rotates(estimator):
    kind = tensor_kind("symmetric")
    regression = tensor_regression("symmetric", Committee(estimator=estimator))
    recipe = Representation(
        fields=FIELDS, products=(("rho", "rho"), ("rho", "V")), species=(1, 6, 8),
        centers=(6, 8), irreps=regression.feature_irreps,
    )  # fmt: skip
    train = molecules(25)
    model, _ = learned(regression, recipe, recipe.compute(train), targets(train, "symmetric"))
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(4)).double())

    def covariance(features):
        """Of the flattened tensors, from the members of each irrep."""
        blocks = {}
        for irrep, part in model.parts.items():
            _, own = part.deviations(features)
            blocks[irrep] = own.unflatten(0, (-1, 2 * irrep.degree + 1)).transpose(1, 2)
        tensors = kind.to_cartesian(blocks)
        return torch.einsum("skx,sky->sxy", tensors, tensors) / 7

    before, after = (recipe.compute(molecules(4, seed=9, rotation=r)) for r in (None, -q))
    turn = torch.kron(q, q)  # of flattened 3x3 tensors; two minus signs cancel
    expected = turn @ covariance(before) @ turn.T
    mean, std = model.predict_with_std(after)
    torch.testing.assert_close(std.square(), expected.diagonal(dim1=1, dim2=2), rtol=1e-6, atol=0)
    torch.testing.assert_close(mean, model.predict(after))
    whole = model.predict_with_std(before)[1].square().sum(dim=1)
    torch.testing.assert_close(std.square().sum(dim=1), whole, rtol=1e-7, atol=0)
    assert torch.equal(copied(model).predict_with_std(after)[1], std)


def test_components_of_a_structure_are_left_out_together_in_all_irreps():
    recipe = Representation(
        fields=FIELDS, products=(("rho", "V"),), species=(1, 6, 8), centers=(6, 8),
        irreps=(Irrep(0), Irrep(2)),
    )  # fmt: skip
    train = molecules(25)
    regression = tensor_regression("symmetric", Committee(estimator=Ridge()))
    y = targets(train, "symmetric")
    model, design = learned(regression, recipe, recipe.compute(train), y)
    points = [len(part.calibration.errors) for part in model.parts.values()]
    assert points[1] == 5 * points[0]
    rows = torch.arange(5, 25)
    found = regression.learner(design, design)(rows, y[rows])
    own = regression.fit(design.select(rows), y[rows])
    torch.testing.assert_close(found, own.predict(recipe.compute(train)), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_members": 2}, "n_members 2 is too small to estimate a spread"),
        ({"fraction": 1.0}, "fraction of a committee is 1.0"),
        ({"fraction": 0.0}, "fraction of a committee is 0.0"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        Committee(estimator=Ridge(), **settings)


def test_too_few_structures(random_features):
    features, y = data(random_features, n=3)
    committee = Committee(estimator=Ridge(**SHARED), fraction=0.99, n_members=3)
    with pytest.raises(ValueError, match="at least 2 structures"):
        committee.fit(collected(committee, features).select([0]), y[:1])
    few = Committee(estimator=Ridge(**SHARED), n_members=3, fraction=0.67, seed=1)
    with pytest.raises(ValueError, match="error bars of a committee need points"):
        fitted(few, features, y)


def test_members_are_no_committees(random_features):
    features, y = data(random_features)
    twice = Committee(estimator=Committee(estimator=Ridge(**SHARED)))
    with pytest.raises(ValueError, match="members of a committee are committees"):
        fitted(twice, features, y)
