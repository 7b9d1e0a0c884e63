"""Sparse kernels against the full ones, against dense formulas, and against themselves."""

import weakref

import pytest
import torch

from multilode.models import (
    Committee,
    KernelRidge,
    PolynomialKernel,
    SparseKernelRidge,
    polynomial_kernels,
)
from multilode.models.kernels.row_kernels import kernel_between
from multilode.representation.representation import Representation
from multilode.symmetry.cartesian import tensor_kind
from multilode.symmetry.wigner import wigner_d
from regressions import (
    collected,
    copied,
    fitted,
    learned,
    learner,
    problem_of,
    tensor_regression,
)
from toy_tensors import FIELDS, molecules, targets

SHARED = {"regularization": 1e-3, "term_weights": (1.0, 0.4)}
EVERYTHING = {"n_active": 10_000, "n_explored": 10_000}


def listed(*batches):
    """All batches, whatever number of structures is asked for."""
    return lambda n, seed: iter(batches)


def target(features, noise=0.0):
    local = sum(torch.sin(t[:, 0]) + (t[:, 1] * t[:, 2]) for t in features.invariants)
    y = torch.zeros(features.n_structures, dtype=torch.float64)
    y = y.index_add(0, features.structure_index, local)
    g = torch.Generator().manual_seed(11)
    return (y + noise * torch.randn(len(y), generator=g).double())[:, None]


@pytest.fixture
def train(random_features):
    return random_features(0, counts=[1 + k % 3 for k in range(40)], widths=[5, 4])


@pytest.fixture
def new(random_features):
    return random_features(1, counts=[2, 0, 3, 1], widths=[5, 4])


@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("zeta", [1, 2, 3, (2, 1)])
def test_with_all_environments_active_it_is_kernel_ridge(train, new, zeta, normalize, reduce):
    """Predictions, standard deviations and scales, with another solver in another space."""
    settings = {**SHARED, "kernel": polynomial_kernels(zeta=zeta, normalize=normalize)}
    full, sparse = KernelRidge(**settings), SparseKernelRidge(**settings, **EVERYTHING)
    y = torch.cat([target(train), target(train).square()], dim=1)
    expected, model = (fitted(own, train, y, reduce=reduce) for own in (full, sparse))
    assert model.factors == pytest.approx(expected.factors, rel=1e-9)
    pairs = zip(model.predict_with_std(new), expected.predict_with_std(new), strict=True)
    for found, wanted in pairs:
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-7 * float(wanted.abs().max()))


def test_open_settings_are_chosen_as_by_kernel_ridge(train):
    y = target(train, noise=0.3)
    full, sparse = KernelRidge(), SparseKernelRidge(**EVERYTHING)
    expected, model = (fitted(own, train, y) for own in (full, sparse))
    assert model.term_weights == expected.term_weights
    assert model.regularization == pytest.approx(expected.regularization, rel=1e-6)


def test_narrow_linear_terms_stay_in_the_space_of_their_features(train, new):
    sparse = SparseKernelRidge(
        kernel=polynomial_kernels(zeta=(1, 2)), **SHARED, n_active=10, n_explored=40
    )
    design = collected(sparse, train)
    linear, other = design.map.active
    assert linear is None
    assert design.terms[0].shape == (40, 10)  # five features of two species
    assert 9 <= len(other.factor) <= 11
    # the feature space of a linear kernel has no more than ten dimensions: nothing is left out
    linear = {**SHARED, "kernel": PolynomialKernel(zeta=1)}
    y = target(train)
    expected = fitted(KernelRidge(**linear), train, y).predict(new)
    found = fitted(SparseKernelRidge(**linear, n_active=10), train, y).predict(new)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)


def test_more_active_environments_make_smaller_errors(random_features):
    """Until they span all 56 products of three features, and nothing of a cubic sum is left."""
    train, test = (random_features(s, [2] * 200, [6], species=(1,)) for s in (0, 1))
    y, reference = (
        f.invariants[0][:, :3].prod(dim=1).view(200, 2).sum(dim=1)[:, None] for f in (train, test)
    )
    errors = []
    for n_active in (20, 40, 50, 60):
        cubic = PolynomialKernel(zeta=3)
        sparse = SparseKernelRidge(kernel=cubic, regularization=1e-10, n_active=n_active)
        model = fitted(sparse, train, y)
        errors.append(float((model.predict(test) - reference).norm() / reference.norm()))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.5
    assert errors[-1] < 1e-5


def test_variance_is_the_projected_process(train, new):
    """k** - k*M KMM^-1 kM* + s k*M (s KMM + KMN KNM)^-1 kM*, by dense inverses of each."""
    settings = {"regularization": 1e-2, "term_weights": (1.0, 0.5)}
    settings["kernel"] = PolynomialKernel(zeta=3, normalize=True)
    y = target(train)
    model = fitted(SparseKernelRidge(**settings, n_active=12), train, y)
    rows = [d.environments for d in collected(KernelRidge(**settings), train, new)]
    parts, own, kmm = [], 0, []
    for number, (kernel, factor) in enumerate(zip(model.kernels, model.factors, strict=True)):
        active = model.active[number].rows
        parts.append([kernel_between(kernel, r.terms[number], active) for r in rows])
        kmm.append(kernel_between(kernel, active, active) / factor)  # prior of weights of f k_j
        every = rows[1].terms[number]
        own = own + factor * kernel_between(kernel, every, every).diagonal()
    knm, ksm = (torch.cat([p[k] for p in parts], dim=1) for k in (0, 1))
    prior = torch.block_diag(*kmm)
    approximate = knm @ torch.linalg.inv(prior) @ knm.T
    n = len(y)
    g = 1e-2 * float(approximate.trace() - approximate.mean() * n) / n
    explained = (ksm @ torch.linalg.inv(prior) * ksm).sum(dim=1)
    rest = (ksm @ torch.linalg.inv(prior + knm.T @ knm / g) * ksm).sum(dim=1)
    likely = (y.T @ torch.linalg.inv(approximate + g * torch.eye(n)) @ y) / n
    expected = ((own - explained + rest) * likely.squeeze()).sqrt()[:, None]
    torch.testing.assert_close(model.predict_with_std(new)[1], expected, rtol=1e-5, atol=1e-8)


def test_each_kind_of_center_is_active_in_proportion(random_features):
    features = random_features(0, counts=[4] * 50, widths=[6], species=(1, 1, 1, 8))
    sparse = SparseKernelRidge(n_active=20)
    (active,) = collected(sparse, features).map.active
    counts = torch.bincount(active.rows.slots)
    share = float((features.center_species == 1).double().mean())
    assert counts.tolist() == [round(20 * share), round(20 * (1 - share))]
    few = collected(SparseKernelRidge(n_active=1), features).map.active[0]
    assert torch.bincount(few.rows.slots).tolist() == [1, 1]


def test_batches_are_forgotten_as_soon_as_they_are_compared(random_features):
    """What is kept has a row per structure and a column per active environment."""
    alive, largest = weakref.WeakSet(), 0

    def batches():
        nonlocal largest
        for seed in range(20):
            batch = random_features(seed, counts=[4] * 5, widths=[200])
            alive.add(batch)
            yield batch
            del batch
            largest = max(largest, len(alive))

    sparse = SparseKernelRidge(n_active=6)
    first = random_features(0, counts=[4] * 5, widths=[200])
    own = sparse.map(problem_of(first), listed(first))
    design = own.collect(batches())
    assert design.terms[0].shape == (100, 6)
    assert largest <= 2
    kept = sum(t.numel() for t in design.terms) + own.active[0].rows.points.values.numel()
    assert kept < 0.03 * 20 * 20 * 200 + 6 * 200


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_learner_is_a_fit_to_the_subset(train, new, reduce):
    sparse = SparseKernelRidge(**SHARED, n_active=15)
    first, second = collected(sparse, train, new, reduce=reduce)
    y, rows = target(train), torch.arange(5, 30)
    found = learner(sparse, first, second)(rows, y[rows])
    torch.testing.assert_close(found, sparse.fit(first.select(rows), y[rows]).predict(new))
    other = collected(sparse, new, reduce=reduce)
    with pytest.raises(ValueError, match="different active environments"):
        learner(sparse, first, other)


def test_committees_of_sparse_kernels_are_those_of_full_ones(train, new):
    full = Committee(estimator=KernelRidge(**SHARED))
    sparse = Committee(estimator=SparseKernelRidge(**SHARED, **EVERYTHING))
    y = target(train)
    expected, found = (fitted(own, train, y) for own in (full, sparse))
    for a, b in zip(found.predict_with_std(new), expected.predict_with_std(new), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("uncertainty", [True, False])
def test_files_bring_back_the_model(train, new, uncertainty):
    settings = {**SHARED, "kernel": polynomial_kernels(zeta=(2, 1)), "n_active": 15}
    model = fitted(SparseKernelRidge(**settings, uncertainty=uncertainty), train, target(train))
    again = copied(model)
    assert torch.equal(again.predict(new), model.predict(new))
    assert again.summary() == model.summary()
    if uncertainty:
        assert torch.equal(again.predict_with_std(new)[1], model.predict_with_std(new)[1])
    else:
        with pytest.raises(ValueError, match="has no standard deviations"):
            again.predict_with_std(new)


def recipe_for(estimator, kind):
    return Representation(
        fields=FIELDS, products=(("rho", "rho"), ("rho", "V")), species=(1, 6, 8),
        centers=(6, 8), irreps=tensor_regression(kind, estimator).feature_irreps,
    )  # fmt: skip


@pytest.mark.parametrize("zeta", [1, 2, (2, 1)], ids=repr)
@pytest.mark.parametrize("kind", ["vector", "symmetric"])
def test_tensors_rotate_whatever_is_active(kind, zeta):
    """Also where most environments are left out, and with as many active as there are."""
    settings = {**SHARED, "kernel": polynomial_kernels(zeta=zeta)}
    sparse = SparseKernelRidge(**settings, n_active=4, n_explored=5)
    recipe = recipe_for(sparse, kind)
    train, new = recipe.compute(molecules(12)), molecules(3, seed=9)
    y = targets(molecules(12), kind)
    model, _ = learned(tensor_regression(kind, sparse), recipe, train, y)
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(4)).double())
    before, after = (
        model.predict(recipe.compute(molecules(3, seed=9, rotation=r))) for r in (None, -q)
    )
    assert float(before.abs().max()) > 0.01
    improper = bool(torch.linalg.det(-q) < 0)
    for irrep, block in tensor_kind(kind).to_spherical(before).items():
        expected = wigner_d(-q, irrep.degree) @ block * (irrep.parity if improper else 1)
        found = tensor_kind(kind).to_spherical(after)[irrep]
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)

    features = recipe.compute(new)
    both = (SparseKernelRidge(**settings, **EVERYTHING), KernelRidge(**settings))
    found, expected = (
        learned(tensor_regression(kind, own), recipe, train, y)[0].predict(features) for own in both
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_settings_out_of_range(train):
    with pytest.raises(ValueError, match="n_active is 0"):
        SparseKernelRidge(n_active=0)
    with pytest.raises(ValueError, match="n_explored is 0"):
        SparseKernelRidge(n_explored=0)
    with pytest.raises(ValueError, match="3 kernels for 2 terms"):
        collected(SparseKernelRidge(kernel=polynomial_kernels(zeta=(1, 2, 3))), train)
