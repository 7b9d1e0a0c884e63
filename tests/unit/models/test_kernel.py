"""Kernels and kernel ridge regression against loops over pairs of environments."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multilode.equivariants.features import FeatureRows
from multilode.models import KernelRidge, PolynomialKernel, Ridge, polynomial_kernels
from multilode.models.kernels.row_kernels import (
    _pair_kernel,
    kernel_between,
    kernel_diagonal,
    prepare_terms,
)
from multilode.models.kernels.second_moments import moment_kernel, moments_are_cheaper
from regressions import collected, copied, fitted, learner, problem_of

SMALL_BLOCKS = 24 * 16**2  # the smallest blocks: 16 environments


def draw(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def kernel_by_loops(left, right, zeta, *, normalize, reduce, per_species, term=0):
    """Sum over pairs of environments, one pair at a time."""
    result = torch.zeros(left.n_structures, right.n_structures, dtype=torch.float64)
    x, y = left.invariants[term], right.invariants[term]
    if normalize:
        x, y = x / x.norm(dim=1, keepdim=True), y / y.norm(dim=1, keepdim=True)
    for i, j in itertools.product(range(len(x)), range(len(y))):
        if per_species and left.center_species[i] != right.center_species[j]:
            continue
        result[left.structure_index[i], right.structure_index[j]] += (x[i] @ y[j]) ** zeta
    if reduce == "mean":
        sizes = [f.structure_index.bincount(minlength=f.n_structures) for f in (left, right)]
        result = result / sizes[0].clamp(min=1)[:, None] / sizes[1].clamp(min=1)
    return result


def computed_kernel(left, right, zeta, *, normalize, reduce, per_species, **options):
    kernel = PolynomialKernel(zeta=zeta, normalize=normalize)
    a, b = (
        prepare_terms(f.rows(), (kernel,), reduce=reduce, centers=(1, 8) if per_species else None)
        for f in (left, right)
    )
    return kernel_between(kernel, a.terms[0], b.terms[0], **options)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999),
    zeta=st.integers(1, 4),
    normalize=st.booleans(),
    reduce=st.sampled_from(["sum", "mean"]),
    per_species=st.booleans(),
)
def test_kernel_equals_a_loop_over_pairs(
    random_features, seed, zeta, normalize, reduce, per_species
):
    left = random_features(seed, counts=[3, 0, 2], widths=[4])
    right = random_features(seed + 1, counts=[1, 40, 2, 3], widths=[4])
    options = {"normalize": normalize, "reduce": reduce, "per_species": per_species}
    expected = kernel_by_loops(left, right, zeta, **options)
    computed = computed_kernel(left, right, zeta, **options, block_bytes=SMALL_BLOCKS)
    torch.testing.assert_close(computed, expected, rtol=1e-11, atol=1e-11)


def test_second_moments_are_taken_where_they_are_cheaper_and_give_the_same(random_features):
    kernel = PolynomialKernel(zeta=2, normalize=False)
    features = random_features(0, counts=[300, 400, 500], widths=[7], species=(1,))
    rows = prepare_terms(features.rows(), (kernel,), reduce="sum", centers=None).terms[0]
    assert moments_are_cheaper(rows, rows, 2**20)
    few = (
        rows.select([0]),
        prepare_terms(
            random_features(1, counts=[2], widths=[7]).rows(), (kernel,), reduce="sum", centers=None
        ).terms[0],
    )
    assert not moments_are_cheaper(*few, 2**20)
    expected = _pair_kernel(kernel, rows, rows, 2**20)
    torch.testing.assert_close(kernel_between(kernel, rows, rows), expected, rtol=1e-11, atol=1e-9)
    blocked = moment_kernel(rows, rows, 8 * 6 * 3**2)  # three features per block
    torch.testing.assert_close(blocked, expected, rtol=1e-11, atol=1e-9)
    torch.testing.assert_close(
        moment_kernel(rows, few[1], 8 * 4 * 2**2), _pair_kernel(kernel, rows, few[1], 2**20)
    )


@pytest.mark.parametrize("counts", [[30, 30, 30], [10, 0, 45]], ids=["equal", "unequal"])
def test_second_moments_of_equal_and_unequal_sizes(random_features, counts):
    kernel = PolynomialKernel(zeta=2, normalize=False)
    features = random_features(0, counts=counts, widths=[5], species=(1,))
    rows = prepare_terms(features.rows(), (kernel,), reduce="sum", centers=None).terms[0]
    expected = _pair_kernel(kernel, rows, rows, 2**20)
    torch.testing.assert_close(moment_kernel(rows, rows, 2**10), expected, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("zeta", [1, 2, 3])
@pytest.mark.parametrize("normalize", [False, True])
def test_diagonal_is_that_of_the_kernel(random_features, zeta, normalize):
    features = random_features(0, counts=[3, 0, 5], widths=[4])
    kernel = PolynomialKernel(zeta=zeta, normalize=normalize)
    rows = prepare_terms(features.rows(), (kernel,), reduce="mean", centers=(1, 8)).terms[0]
    full = kernel_between(kernel, rows, rows)
    torch.testing.assert_close(kernel_diagonal(kernel, rows), full.diagonal())


@pytest.mark.parametrize("zeta", [1, 2, 3])
def test_kernel_has_the_right_gradients(random_features, zeta):
    left = random_features(0, counts=[2, 17], widths=[2])
    kernel = PolynomialKernel(zeta=zeta, normalize=True)
    right = prepare_terms(
        random_features(1, counts=[20, 3], widths=[2]).rows(),
        (kernel,),
        reduce="mean",
        centers=(1, 8),
    ).terms[0]

    def kernel_of(values):
        points = replace(left.rows(), terms=(values,))
        rows = prepare_terms(points, (kernel,), reduce="mean", centers=(1, 8)).terms[0]
        return kernel_between(kernel, rows, right, block_bytes=SMALL_BLOCKS)

    values = left.invariants[0].requires_grad_()
    assert torch.autograd.gradcheck(kernel_of, values)


def test_a_zero_environment_has_no_infinite_gradient():
    kernel = PolynomialKernel(zeta=2, normalize=True)
    values = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    zeros = torch.zeros(2, dtype=torch.int64)
    points = FeatureRows(terms=(values,), row_index=zeros, center_species=zeros, n_rows=1)
    rows = prepare_terms(points, (kernel,), reduce="sum", centers=None).terms[0]
    total = kernel_between(kernel, rows, rows).sum()
    (gradient,) = torch.autograd.grad(total, values)
    assert float(total.detach()) == 0
    assert bool((gradient == 0).all())


SETTINGS = [
    {"zeta": 1, "reduce": "mean"},
    {"zeta": 2, "reduce": "sum"},
    {"zeta": (1, 3), "normalize": (False, True), "reduce": "mean"},
    {"zeta": 3, "per_species": False, "reduce": "sum", "intercept": True},
]


def example(random_features, options, **more):
    own = {k: v for k, v in options.items() if k not in ("zeta", "normalize", "reduce")}
    words = {k: v for k, v in options.items() if k in ("zeta", "normalize")}
    shared = {"regularization": 1e-2, "term_weights": (1.0, 0.25)}
    estimator = KernelRidge(kernel=polynomial_kernels(**words), **shared, **own, **more)
    train = random_features(0, counts=[3, 4, 2, 5, 1, 3, 2, 6], widths=[3, 4])
    y = draw(7, 8, 2) + 4
    design = collected(estimator, train, reduce=options.get("reduce", "sum"))
    return estimator, design.map, train, y, estimator.fit(design, y)


def reference(estimator, own, train, new, y):
    """Gaussian process from its definition, with kernels from loops: mean and variance."""
    kernels, reduce = own.kernels, own.problem.reduce
    total = {"train": 0, "cross": 0, "own": 0}
    for term, (kernel, weight) in enumerate(zip(kernels, (1.0, 0.25), strict=True)):
        options = {
            "normalize": kernel.normalize,
            "reduce": reduce,
            "per_species": estimator.per_species,
            "term": term,
        }
        inside = kernel_by_loops(train, train, kernel.zeta, **options)
        factor = weight / float(inside.diagonal().mean())
        total["train"] = total["train"] + factor * inside
        total["cross"] += factor * kernel_by_loops(new, train, kernel.zeta, **options)
        total["own"] += factor * kernel_by_loops(new, new, kernel.zeta, **options).diagonal()
    n = len(y)
    intercept = estimator.intercept or (estimator.intercept is None and reduce == "mean")
    columns = torch.ones(n, int(intercept)).double()
    projector = torch.eye(n).double() - 1 / n
    g = 1e-2 * float((projector @ total["train"] @ projector).trace()) / n
    gram = total["train"] + g * torch.eye(n).double()
    zero = torch.zeros(columns.shape[1], columns.shape[1]).double()
    saddle = torch.cat([torch.cat([gram, columns], 1), torch.cat([columns.T, zero], 1)])
    ones = torch.ones(len(total["own"]), columns.shape[1]).double()
    right = torch.cat([total["cross"], ones], 1)
    solution = torch.linalg.solve(saddle, right.T)
    mean = solution[:n].T @ y
    variance = total["own"] - (right * solution.T).sum(1)
    inverse = torch.linalg.inv(saddle)[:n, :n]
    amplitude = (y * (inverse @ y)).sum(0) / (n - columns.shape[1])
    return mean, variance[:, None] * amplitude


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_mean_and_standard_deviation_are_those_of_the_gaussian_process(random_features, options):
    estimator, own, train, y, model = example(random_features, options)
    new = random_features(5, counts=[2, 4, 3], widths=[3, 4])
    mean, variance = reference(estimator, own, train, new, y)
    torch.testing.assert_close(model.predict(new), mean, rtol=1e-8, atol=1e-8)
    values, std = model.predict_with_std(new)
    torch.testing.assert_close(values, model.predict(new))
    torch.testing.assert_close(std.square(), variance, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_parts_survive_json_and_give_the_same_model(random_features, options):
    *_, model = example(random_features, options)
    again = copied(model)
    new = random_features(5, counts=[2, 4], widths=[3, 4])
    for first, second in zip(model.predict_with_std(new), again.predict_with_std(new), strict=True):
        assert torch.equal(first, second)
    assert again.summary() == model.summary()


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_predictions_have_the_right_gradients(random_features, with_terms, options):
    *_, model = example(random_features, options)
    new = random_features(5, counts=[2, 3], widths=[3, 4])

    def predict(first, second):
        return model.predict(with_terms(new, (first, second)))

    values = tuple(term.requires_grad_() for term in new.invariants)
    assert torch.autograd.gradcheck(predict, values)


def test_without_uncertainty_only_what_predictions_need_is_kept(random_features):
    options = {"zeta": (2, 3)}
    *_, model = example(random_features, options)
    *_, small = example(random_features, options, uncertainty=False)
    new = random_features(5, counts=[2, 3], widths=[3, 4])
    torch.testing.assert_close(small.predict(new), model.predict(new))
    assert len(small.environments[0].points) == 0
    assert len(small.environments[1].points) == 26
    assert small.posterior is None
    with pytest.raises(ValueError, match="uncertainty=True"):
        small.predict_with_std(new)


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_linear_kernel_is_ridge_regression(random_features, reduce):
    train = random_features(0, counts=[3, 4, 2, 5, 1, 3], widths=[3])
    new = random_features(1, counts=[2, 3], widths=[3])
    y = draw(2, 6, 1)
    kernel = KernelRidge(kernel=polynomial_kernels(zeta=1), regularization=0.1)
    first = fitted(kernel, train, y, reduce=reduce)
    second = fitted(Ridge(regularization=0.1), train, y, reduce=reduce)
    torch.testing.assert_close(first.predict(new), second.predict(new), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("zeta", [1, 2, 3])
def test_one_intensive_structure_gives_its_own_value(random_features, zeta):
    features = random_features(0, [3], [4])
    kernel = KernelRidge(
        kernel=polynomial_kernels(zeta=zeta),
        regularization=1e-3,
        term_weights=(1.0,),
    )
    model = fitted(kernel, features, torch.tensor([[2.5]]).double(), reduce="mean")
    predicted = model.predict(random_features(1, [2, 4], [4]))
    torch.testing.assert_close(predicted, torch.full((2, 1), 2.5).double())


def test_learner_equals_a_fit_to_the_subset(random_features):
    train = random_features(0, counts=[2] * 20, widths=[3, 2])
    test = random_features(1, counts=[2] * 4, widths=[3, 2])
    estimator = KernelRidge()
    design, other = collected(estimator, train, test, reduce="mean")
    chosen, y = torch.tensor([4, 1, 19, 7, 3, 12, 11, 0, 16]), draw(2, 20, 1)
    groups = torch.arange(20) // 2
    learn = learner(estimator, design, other, groups)
    model = estimator.fit(design.select(chosen), y[chosen], groups=groups[chosen])
    torch.testing.assert_close(learn(chosen, y[chosen]), model.predict(test), rtol=1e-7, atol=1e-9)


def test_collect_joins_batches(random_features):
    batches = [random_features(seed, counts=[2, 0, 3], widths=[3]) for seed in (0, 1)]
    for zeta in (1, 2):
        own = collected(KernelRidge(kernel=polynomial_kernels(zeta=zeta)), batches[0]).map
        joined, second = own.collect(batches), own.collect(batches[1:])
        assert joined.n_rows == 6
        chosen = joined.select([3, 4, 5]).environments.terms[0]
        expected = second.environments.terms[0]
        assert torch.equal(chosen.points.values, expected.points.values)
        assert torch.equal(chosen.row_index, expected.row_index)


def test_a_target_quadratic_in_the_features_needs_zeta_two(random_features):
    train = random_features(0, counts=[4] * 60, widths=[3], species=(1,))
    new = random_features(1, counts=[4] * 20, widths=[3], species=(1,))
    matrix = draw(2, 3, 3)

    def target(features):
        x = features.invariants[0]
        own = ((x @ matrix) * x).sum(1, keepdim=True)
        return (
            torch.zeros(features.n_structures, 1)
            .double()
            .index_add(0, features.structure_index, own)
        )

    errors = {}
    for zeta in (1, 2):
        estimator = KernelRidge(kernel=polynomial_kernels(zeta=zeta))
        model = fitted(estimator, train, target(train), centers=(1,))
        errors[zeta] = float((model.predict(new) - target(new)).square().mean().sqrt())
    assert errors[2] < 1e-5 < 1 < errors[1]


def test_settings_out_of_range_are_refused(random_features):
    with pytest.raises(ValueError, match=r"zeta is 9{40}; use a whole number from 1 to 100"):
        PolynomialKernel(zeta=int("9" * 400))  # each power is one more product of all pairs
    with pytest.raises(ValueError, match="zeta is 0"):
        PolynomialKernel(zeta=0)
    with pytest.raises(ValueError, match="one value for all terms or one per term"):
        polynomial_kernels(zeta=(1, 2), normalize=(True, False, True))
    features = random_features(0, counts=[2], widths=[3])
    with pytest.raises(ValueError, match="2 kernels for 1 terms"):
        collected(KernelRidge(kernel=polynomial_kernels(zeta=(1, 2))), features)
    own = KernelRidge().map(problem_of(features), lambda n, seed: iter([features]))
    with pytest.raises(ValueError, match="at least one structure"):
        own.collect([])
