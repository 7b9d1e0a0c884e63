"""Learning curves: subsets, orders, baselines, groups, and features that are shared."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from multilode.models import (
    KernelRidge,
    PolynomialKernel,
    Ridge,
    TargetDesign,
    TargetRegression,
    polynomial_kernels,
)
from multilode.models.kernel_ridge.kernel_map import EnvironmentDesign, KernelMatrixMap
from multilode.models.kernels import Points
from multilode.models.kernels.environments import Environments, EnvironmentTerms
from multilode.models.targets import Target
from multilode.prediction import (
    LearningCurve,
    LearningData,
    fit_subsets,
    learning_curve,
    learning_data,
    train,
)
from multilode.prediction.baseline import CompositionBaseline, MeanBaseline
from multilode.prediction.errors import rmse
from multilode.representation.batches import feature_batches
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures
from multilode.symmetry.irrep import INVARIANT
from regressions import pooled
from toy_tensors import FIELDS, molecules, targets


def regression(estimator):
    return TargetRegression(target=Target(key="y"), estimator=estimator)


def draw(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def atoms(n):
    """One hydrogen atom per structure, or two in every second one."""
    sizes = [1 + k % 2 for k in range(n)]
    return Structures.from_arrays(
        [np.arange(3.0 * k).reshape(k, 3) for k in sizes],
        [np.ones(k, dtype=int) for k in sizes],
        [np.zeros((3, 3))] * n,
        [np.zeros(3)] * n,
    )


def linear_data(seed, n, *, shift=0.0, noise=0.1):
    structures = atoms(n)
    x = draw(seed, n, 6)
    y = x @ torch.linspace(1, 2, 6).double()[:, None] + noise * draw(seed + 1, n, 1)
    y = y + shift * structures.counts[:, None]
    design = TargetDesign(parts={INVARIANT: pooled(x)})
    return LearningData(units=structures, design=design, y=y)


def test_learning_curve_falls_to_the_noise_and_repeats_itself():
    train, test = linear_data(0, 80), linear_data(100, 40)
    options = {"sizes": [4, 10, 80], "repeats": 5, "seed": 3}
    curve = fit_subsets(regression(Ridge()), train, test, **options)
    assert curve.rmse.shape == (3, 5)
    assert float(curve.mean[0]) > 3 * float(curve.mean[1]) > 3 * 0.1
    assert float(curve.mean[2]) == pytest.approx(0.1, rel=0.3)
    assert bool((curve.standard_error[:2] > 0).all())
    # one order of 80 is as good as another, up to the folds and the order of sums
    assert float(curve.rmse[2].std()) < 0.01
    again = fit_subsets(regression(Ridge()), train, test, **options)
    assert torch.equal(curve.rmse, again.rmse)
    other = fit_subsets(regression(Ridge()), train, test, sizes=[4, 10, 80], repeats=5, seed=50)
    assert not torch.equal(curve.rmse, other.rmse)
    percent = 100 * curve.mean / test.y.std(correction=0)
    torch.testing.assert_close(curve.mean_percent, percent)
    expected = curve.rmse.numpy().std(axis=1, ddof=1) / 5**0.5
    np.testing.assert_allclose(curve.standard_error.numpy(), expected)


def test_a_curve_is_described_by_its_points():
    rmse = torch.tensor([[0.4, 0.2], [0.1, 0.1]], dtype=torch.float64)
    curve = LearningCurve(sizes=(5, 10), rmse=rmse, test_deviation=2.0)
    assert repr(curve).splitlines() == [
        "LearningCurve(repeats 2",
        "  5: RMSE 0.3 (15 %)",
        "  10: RMSE 0.1 (5 %))",
    ]


def test_first_uses_the_order_given():
    train, test = linear_data(0, 40), linear_data(100, 20)
    curve = fit_subsets(regression(Ridge()), train, test, sizes=[12], ordering="first")
    model = Ridge().fit(train.design.select(range(12)).invariant, train.y[:12])
    expected = rmse(test.y, model.predict_terms(test.design.invariant.terms))
    assert float(curve.rmse[0, 0]) == pytest.approx(expected, rel=1e-12)
    assert curve.rmse.shape == (1, 1)
    assert bool(curve.standard_error.isnan().all())


def test_baseline_is_fitted_to_each_subset():
    plain, shifted = linear_data(0, 40), linear_data(0, 40, shift=1e4)
    tests = linear_data(100, 20), linear_data(100, 20, shift=1e4)
    baseline = CompositionBaseline()
    curves = [
        fit_subsets(regression(Ridge()), train, test, sizes=[8, 30], baseline=baseline)
        for train, test in zip((plain, shifted), tests, strict=True)
    ]
    torch.testing.assert_close(curves[0].rmse, curves[1].rmse, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("baseline", [CompositionBaseline(), MeanBaseline()], ids=["c", "m"])
def test_a_subset_may_lack_a_species_of_the_test_set(baseline):
    """The first two structures hold hydrogen alone; every later one holds oxygen as well."""
    data = linear_data(0, 20)
    species = data.units.species.clone()
    species[data.units.structure_index >= 2] = 8
    data = replace(data, units=replace(data.units, species=species))
    fixed = Ridge(regularization=1.0)
    curve = fit_subsets(
        regression(fixed), data, data, sizes=[2], ordering="first", baseline=baseline
    )
    fitted = baseline.fit(data.units.select([0, 1]), data.y[:2], reduce="sum")
    rest = data.y[:2] - fitted.predict(data.units.select([0, 1]))
    predicted = fixed.fit(data.design.select([0, 1]).invariant, rest).predict_terms(
        data.design.invariant.terms
    )
    counts = data.units.counts[:, None]
    counts[2:] *= int(isinstance(baseline, MeanBaseline))  # what is known of oxygen
    assert float(curve.rmse[0, 0]) == pytest.approx(
        rmse(data.y, predicted + counts * fitted.constants[0])
    )


def test_kernels_learn_like_the_linear_model_that_they_are():
    train, test = linear_data(0, 60), linear_data(100, 20)

    def environments(data):
        x = data.design.invariant.terms[0]
        index = torch.arange(len(x))
        rows = Environments(
            points=Points(values=x),
            row_index=index,
            slots=torch.zeros_like(index),
            scale=x.new_ones(len(x)),
        )
        own = KernelMatrixMap(
            problem=data.design.invariant.map.problem, kernels=(PolynomialKernel(zeta=1),)
        )
        design = EnvironmentDesign(map=own, environments=EnvironmentTerms(terms=(rows,)))
        return replace(data, design=TargetDesign(parts={INVARIANT: design}))

    options = {"sizes": [5, 50], "repeats": 2}
    settings_of_both = {"regularization": 1e-3}
    linear = fit_subsets(regression(Ridge(**settings_of_both)), train, test, **options)
    estimator = KernelRidge(kernel=polynomial_kernels(zeta=1), **settings_of_both)
    kernel = fit_subsets(regression(estimator), environments(train), environments(test), **options)
    torch.testing.assert_close(kernel.rmse, linear.rmse, rtol=1e-6, atol=1e-9)


def test_progress_counts_the_fits():
    train, test, seen = linear_data(0, 20), linear_data(100, 10), []
    fit_subsets(
        regression(Ridge()),
        train,
        test,
        sizes=[5, 10],
        repeats=3,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(k, 6) for k in range(1, 7)]


def test_what_gives_no_curve_is_named():
    train, test = linear_data(0, 20), linear_data(100, 10)
    with pytest.raises(ValueError, match="between 1 and the 20"):
        fit_subsets(regression(Ridge()), train, test, sizes=[5, 21])
    with pytest.raises(ValueError, match="repeats is 0"):
        fit_subsets(regression(Ridge()), train, test, sizes=[5], repeats=0)
    one = LearningData(units=atoms(1), design=test.design.select([0]), y=test.y[:1])
    with pytest.raises(ValueError, match="do not vary"):
        fit_subsets(regression(Ridge()), train, one, sizes=[5])


def test_subsets_of_whole_groups():
    train, test = linear_data(0, 20), linear_data(100, 10)
    groups = torch.arange(20) // 4 * 7
    grouped = replace(train, groups=groups)
    options = {"sizes": [2, 5], "repeats": 2, "seed": 3, "ordering": "groups"}
    curve = fit_subsets(regression(Ridge()), grouped, test, **options)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(4))
    rows = torch.isin(groups, 7 * order[:2]).nonzero()[:, 0]
    some = train.design.select(rows).invariant
    model = Ridge().fit(some, train.y[rows], groups=groups[rows])
    expected = rmse(test.y, model.predict_terms(test.design.invariant.terms))
    assert float(curve.rmse[0, 1]) == pytest.approx(expected, rel=1e-9)
    with pytest.raises(ValueError, match="between 1 and the 5 training groups"):
        fit_subsets(regression(Ridge()), grouped, test, sizes=[6], ordering="groups")


@pytest.mark.parametrize(
    "estimator", [Ridge(folds=3), KernelRidge(folds=3)], ids=["ridge", "kernel"]
)
def test_the_last_point_of_a_curve_is_a_training_and_features_can_be_shared(estimator):
    recipe = Representation(
        fields=FIELDS, products=(("rho", "V"), ("V",)), species=(1, 6, 8), centers=(6, 8)
    )
    sets = [(molecules(n, seed=n), targets(molecules(n, seed=n), "vector")) for n in (12, 6)]
    target = Target(key="dipole", tensor="vector")
    options = {"target": target, "estimator": estimator}
    first, second = sets
    curve = learning_curve(
        recipe,
        first[0],
        second[0],
        y=first[1],
        test_y=second[1],
        sizes=[12],
        ordering="first",
        **options,
    )
    predictor = train(recipe, first[0], y=first[1], **options)
    found = predictor.predict(second[0]).values - predictor.baseline.predict(second[0])
    expected = rmse(second[1], found)
    assert float(curve.rmse[0, 0]) == pytest.approx(expected, rel=1e-6)
    data, used = [], predictor.representation
    for structures, y in sets:
        shared = list(feature_batches(used, structures))
        maps = data[0].maps if data else None
        data.append(learning_data(used, structures, y, maps=maps, features=shared, **options))
    again = fit_subsets(TargetRegression(**options), *data, sizes=[12], ordering="first")
    torch.testing.assert_close(again.rmse, curve.rmse, rtol=1e-9, atol=0)
