"""Errors and learning curves."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multilode.models import KernelRidge, PooledFeatures, Ridge
from multilode.models.environments import Environments, EnvironmentTerms
from multilode.prediction.analysis import (
    LearningData,
    error_table,
    learning_curve,
    mae,
    rmse,
    rmse_percent,
    standard_deviation,
)
from multilode.prediction.baseline import CompositionBaseline, MeanBaseline
from multilode.structures.batch import Structures


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
    return LearningData(structures=structures, design=PooledFeatures(terms=(x,)), y=y)


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(
        st.tuples(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6)),
        min_size=2,
        max_size=20,
    )
)
def test_errors_equal_their_definitions(values):
    reference, predicted = (
        torch.tensor(v, dtype=torch.float64) / 1000 for v in zip(*values, strict=True)
    )
    a, b = reference.numpy(), predicted.numpy()
    expected = math.sqrt(np.mean((a - b) ** 2))
    assert rmse(reference, predicted) == pytest.approx(expected, rel=1e-12)
    assert mae(reference, predicted) == pytest.approx(np.abs(a - b).mean(), rel=1e-12)
    if np.unique(a).size > 1:
        percent = rmse_percent(reference, predicted)
        assert percent == pytest.approx(100 * expected / np.std(a), rel=1e-9)


def test_the_mean_of_the_test_set_has_an_error_of_one_hundred_percent():
    reference = draw(0, 30, 3) * torch.tensor([1.0, 5.0, 0.1]).double() + 7
    assert rmse_percent(reference, reference.mean(0).expand(30, 3)) == pytest.approx(100)


def test_a_constant_reference_has_no_relative_error():
    constant = torch.full((3,), 0.1).double()
    assert standard_deviation(constant) == 0
    assert math.isnan(rmse_percent(constant, constant + 1))


def test_table_lists_all_and_then_the_groups():
    reference = torch.tensor([0.0, 2.0, 10.0, 14.0, 5.0]).double()
    predicted = reference + torch.tensor([1.0, -1.0, 3.0, 3.0, 0.0]).double()
    rows = error_table(reference, predicted, ["b", "b", "a", "a", "c"])
    assert [(row.group, row.n) for row in rows] == [("all", 5), ("b", 2), ("a", 2), ("c", 1)]
    assert [row.rmse for row in rows[1:]] == [1.0, 3.0, 0.0]
    assert rows[0].mae == pytest.approx(8 / 5)
    assert rows[2].rmse_percent == pytest.approx(3.0 / 2.0 * 100)
    assert math.isnan(rows[3].rmse_percent)
    assert len(error_table(reference, predicted)) == 1


def test_learning_curve_falls_to_the_noise_and_repeats_itself():
    train, test = linear_data(0, 80), linear_data(100, 40)
    options = {"sizes": [4, 10, 80], "repeats": 5, "seed": 3}
    curve = learning_curve(Ridge(), train, test, **options)
    assert curve.rmse.shape == (3, 5)
    assert float(curve.mean[0]) > 3 * float(curve.mean[1]) > 3 * 0.1
    assert float(curve.mean[2]) == pytest.approx(0.1, rel=0.3)
    assert bool((curve.standard_error[:2] > 0).all())
    # one order of 80 is as good as another, up to the folds and the order of sums
    assert float(curve.rmse[2].std()) < 0.01
    again = learning_curve(Ridge(), train, test, **options)
    assert torch.equal(curve.rmse, again.rmse)
    other = learning_curve(Ridge(), train, test, sizes=[4, 10, 80], repeats=5, seed=50)
    assert not torch.equal(curve.rmse, other.rmse)
    percent = 100 * curve.mean / test.y.std(correction=0)
    torch.testing.assert_close(curve.mean_percent, percent)
    expected = curve.rmse.numpy().std(axis=1, ddof=1) / 5**0.5
    np.testing.assert_allclose(curve.standard_error.numpy(), expected)


def test_first_uses_the_order_given():
    train, test = linear_data(0, 40), linear_data(100, 20)
    curve = learning_curve(Ridge(), train, test, sizes=[12], ordering="first")
    model = Ridge().fit(train.design.select(range(12)), train.y[:12])
    assert float(curve.rmse[0, 0]) == rmse(test.y, model.predict_pooled(test.design))
    assert curve.rmse.shape == (1, 1)
    assert bool(curve.standard_error.isnan().all())


def test_baseline_is_fitted_to_each_subset():
    plain, shifted = linear_data(0, 40), linear_data(0, 40, shift=1e4)
    tests = linear_data(100, 20), linear_data(100, 20, shift=1e4)
    baseline = CompositionBaseline()
    curves = [
        learning_curve(Ridge(), train, test, sizes=[8, 30], baseline=baseline)
        for train, test in zip((plain, shifted), tests, strict=True)
    ]
    torch.testing.assert_close(curves[0].rmse, curves[1].rmse, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("baseline", [CompositionBaseline(), MeanBaseline()], ids=["c", "m"])
def test_a_subset_may_lack_a_species_of_the_test_set(baseline):
    """The first two structures hold hydrogen alone; every later one holds oxygen as well."""
    data = linear_data(0, 20)
    species = data.structures.species.clone()
    species[data.structures.structure_index >= 2] = 8
    data = replace(data, structures=replace(data.structures, species=species))
    fixed = Ridge(regularization=1.0)
    curve = learning_curve(fixed, data, data, sizes=[2], ordering="first", baseline=baseline)
    fitted = baseline.fit(data.structures.select([0, 1]), data.y[:2], reduce="sum")
    rest = data.y[:2] - fitted.predict(data.structures.select([0, 1]))
    predicted = fixed.fit(data.design.select([0, 1]), rest).predict_pooled(data.design)
    counts = data.structures.counts[:, None]
    counts[2:] *= int(isinstance(baseline, MeanBaseline))  # what is known of oxygen
    assert float(curve.rmse[0, 0]) == pytest.approx(
        rmse(data.y, predicted + counts * fitted.constants[0])
    )


def test_kernels_learn_like_the_linear_model_that_they_are():
    train, test = linear_data(0, 60), linear_data(100, 20)

    def environments(data):
        x = data.design.terms[0]
        index = torch.arange(len(x))
        rows = Environments(
            values=x, structure_index=index, slots=torch.zeros_like(index), n_structures=len(x)
        )
        return LearningData(
            structures=data.structures, design=EnvironmentTerms(terms=(rows,)), y=data.y
        )

    options = {"sizes": [5, 50], "repeats": 2}
    settings_of_both = {"regularization": 1e-3}
    linear = learning_curve(Ridge(**settings_of_both), train, test, **options)
    kernel = learning_curve(
        KernelRidge(zeta=1, **settings_of_both), environments(train), environments(test), **options
    )
    torch.testing.assert_close(kernel.rmse, linear.rmse, rtol=1e-6, atol=1e-9)


def test_progress_counts_the_fits():
    train, test, seen = linear_data(0, 20), linear_data(100, 10), []
    learning_curve(
        Ridge(),
        train,
        test,
        sizes=[5, 10],
        repeats=3,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(k, 6) for k in range(1, 7)]


def test_what_cannot_be_compared_is_named():
    with pytest.raises(ValueError, match=r"shape \[3\], predictions \[3, 1\]"):
        rmse(torch.zeros(3), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="nothing to compare"):
        mae(torch.zeros(0), torch.zeros(0))
    with pytest.raises(ValueError, match="2 group names for 3"):
        error_table(torch.zeros(3), torch.zeros(3), ["a", "b"])
    train, test = linear_data(0, 20), linear_data(100, 10)
    with pytest.raises(ValueError, match="between 1 and the 20"):
        learning_curve(Ridge(), train, test, sizes=[5, 21])
    with pytest.raises(ValueError, match="repeats is 0"):
        learning_curve(Ridge(), train, test, sizes=[5], repeats=0)
    one = LearningData(structures=atoms(1), design=test.design.select([0]), y=test.y[:1])
    with pytest.raises(ValueError, match="do not vary"):
        learning_curve(Ridge(), train, one, sizes=[5])
