"""Ridge regression against the normal equations."""

import pytest
import torch

from multilode.models import Ridge
from multilode.models.solve.spectrum import TallTermSpectra
from regressions import collected, copied, fitted, learner, pooled


def draw(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def normal_equations(terms, weights, relative, y, new_terms, *, intercept):
    """Ridge by its definition: centered, scaled and weighted columns, K = sum_c w_c X_c X_c^T."""
    columns, new_columns = [], []
    for x, w, new in zip(terms, weights, new_terms, strict=True):
        mean = x.mean(0) if intercept else 0 * x[0]
        scale = (x - mean).square().sum(1).mean().sqrt()
        columns.append((x - mean) / scale * w**0.5)
        new_columns.append((new - mean) / scale * w**0.5)
    x, new = torch.cat(columns, 1), torch.cat(new_columns, 1)
    offset = y.mean(0) if intercept else 0 * y[0]
    g = relative * float((x - x.mean(0)).square().sum()) / len(y)
    gram = x.T @ x + g * torch.eye(x.shape[1]).double()
    return new @ torch.linalg.solve(gram, x.T @ (y - offset)) + offset


@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize("widths", [(3, 2), (30, 25)], ids=["tall", "wide"])
def test_fit_solves_the_normal_equations(reduce, widths):
    terms = tuple(5 * k + draw(k, 20, w) * 10**k for k, w in enumerate(widths))
    new = tuple(draw(9 + k, 4, w) for k, w in enumerate(widths))
    y = draw(5, 20, 2)
    estimator = Ridge(regularization=1e-3, term_weights=(1.0, 0.3))
    model = estimator.fit(pooled(*terms, reduce=reduce), y)
    expected = normal_equations(terms, (1.0, 0.3), 1e-3, y, new, intercept=reduce == "mean")
    torch.testing.assert_close(model.predict_terms(new), expected, rtol=1e-9, atol=1e-9)


def test_intensive_prediction_does_not_change_with_a_shift_of_the_target():
    terms, y = (draw(0, 15, 4),), draw(1, 15, 1)
    ridge = Ridge(regularization=0.1)
    first = ridge.fit(pooled(*terms, reduce="mean"), y)
    second = ridge.fit(pooled(*terms, reduce="mean"), y + 100)
    torch.testing.assert_close(second.intercept, first.intercept + 100)
    torch.testing.assert_close(second.weights[0], first.weights[0])


def test_a_term_of_noise_gets_no_weight_and_the_table_says_so():
    signal, noise = draw(0, 60, 8), draw(1, 60, 40)
    y = signal @ draw(2, 8, 1)
    model = Ridge().fit(pooled(signal, noise, reduce="mean"), y)
    assert model.term_weights[0] == 1.0
    assert model.term_weights[1] < 1e-3
    rows = {trial.term_weights: trial.rmse for trial in model.cv_table}
    assert rows[(0.0, 1.0)] > 0.8 * float(y.std())
    assert min(rows.values()) == rows[model.term_weights]
    assert (1.0, 1.0) in rows


def test_term_weights_do_not_depend_on_the_unit_of_a_term():
    terms = (draw(0, 30, 5), draw(1, 30, 6))
    y = terms[0] @ draw(2, 5, 1) + 0.3 * terms[1] @ draw(3, 6, 1) + 0.1 * draw(4, 30, 1)
    first = Ridge().fit(pooled(*terms), y)
    second = Ridge().fit(pooled(terms[0], 1e4 * terms[1]), y)
    assert first.term_weights == second.term_weights
    torch.testing.assert_close(second.weights[1] * 1e4, first.weights[1], rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("widths", [(4, 3), (40, 30)], ids=["tall", "wide"])
def test_chosen_regularization_has_the_lowest_error_of_refits(widths):
    terms = tuple(draw(k, 24, w) for k, w in enumerate(widths))
    y = terms[0] @ draw(2, widths[0], 1) + draw(3, 24, 1)
    ridge = Ridge(term_weights=(1.0, 0.1), folds=4, seed=7)
    model = ridge.fit(pooled(*terms, reduce="mean"), y)
    assert len(model.cv_table) == 1
    assert model.cv_table[0].regularization == model.regularization
    assert model.cv_table[0].rmse < float(y.std())
    assert model.cv_table[0].rmse > 0.5  # the noise has a standard deviation of 1


def test_what_all_structures_share_does_not_change_the_unit_of_the_regularization():
    x, y = draw(0, 30, 4), draw(1, 30, 1)
    spectra = [TallTermSpectra((x + shift,), x[:, :0]).spectrum((1.0,)) for shift in (0.0, 1e4)]
    expected = float((x - x.mean(0)).square().sum()) / 30
    for spectrum in spectra:
        assert spectrum.mean_eigenvalue == pytest.approx(expected, rel=1e-5)
    same = TallTermSpectra((torch.ones(30, 4).double(),), x[:, :0]).spectrum((1.0,))
    assert same.mean_eigenvalue == pytest.approx(4.0)
    estimator = Ridge(regularization=0.1)
    model = estimator.fit(pooled(torch.ones(30, 4).double()), y)
    new = (torch.ones(1, 4).double(),)
    # w = sum(y) / (30 * 4 + g) for each of the four equal columns, with g = 0.1 * 4 after scaling
    expected = 4 * y.sum() / (30 * 4 + 0.1 * 4)
    torch.testing.assert_close(model.predict_terms(new)[0, 0], expected)


def test_predict_pools_the_features_itself(random_features):
    features = random_features(0, counts=[4, 2, 3, 5, 1, 6], widths=[3, 2])
    y = draw(1, 6, 1)
    ridge = Ridge(regularization=1e-2, term_weights=(1.0, 1.0))
    design = collected(ridge, features, reduce="mean")
    model = ridge.fit(design, y)
    assert model.centers == (1, 8)
    assert [len(w) for w in model.weights] == [6, 4]
    torch.testing.assert_close(model.predict(features), model.predict_terms(design.terms))


def test_collect_joins_batches(random_features):
    batches = [random_features(seed, counts=[2, 3], widths=[3]) for seed in (0, 1)]
    own = collected(Ridge(), batches[0]).map
    joined, second = own.collect(batches), own.collect(batches[1:])
    assert joined.n_rows == len(joined) == 4
    torch.testing.assert_close(joined.select([2, 3]).terms[0], second.terms[0])


def test_gradient_with_respect_to_features_is_the_weight(random_features, with_terms):
    features = random_features(0, counts=[4, 2, 3], widths=[3])
    ridge = Ridge(regularization=1e-2, per_species=False)
    model = fitted(ridge, features, draw(1, 3, 1))
    values = features.invariants[0].requires_grad_()
    features = with_terms(features, (values,))
    (gradient,) = torch.autograd.grad(model.predict(features).sum(), values)
    torch.testing.assert_close(gradient, model.weights[0][:, 0].expand(9, 3))


def test_learner_equals_a_fit_to_the_subset():
    train, test = pooled(draw(0, 20, 4)), pooled(draw(1, 5, 4))
    y, groups = draw(2, 20, 1), torch.arange(20) // 2
    chosen = torch.tensor([3, 4, 8, 1, 17, 12, 11])
    predicted = learner(Ridge(), train, test, groups)(chosen, y[chosen])
    model = Ridge().fit(train.select(chosen), y[chosen], groups=groups[chosen])
    torch.testing.assert_close(predicted, model.predict_terms(test.terms))


def test_parts_survive_json_and_give_the_same_model():
    terms = (draw(0, 20, 4), draw(1, 20, 3))
    model = Ridge().fit(pooled(*terms), draw(2, 20, 2))
    again = copied(model)
    assert again.summary() == model.summary()
    assert again.cv_table == model.cv_table
    assert torch.equal(again.predict_terms(terms), model.predict_terms(terms))


def test_rounding_of_a_term_that_does_not_vary_is_not_blown_up():
    varied, y = draw(0, 20, 5), draw(1, 20, 1)
    same = 0.1 * (1 + 1e-16 * draw(2, 20, 3))  # 0.1 and its neighbors in floating point
    ridge = Ridge(regularization=1e-6, term_weights=(1.0, 1.0))
    model = ridge.fit(pooled(varied, same, reduce="mean"), y)
    assert (model.weights[1] == 0).all()


@pytest.mark.parametrize("copies", [1, 5], ids=["tall", "wide"])
@pytest.mark.parametrize("regularization", [1e-12, 1e-30, 1e-200])
def test_dependent_features_are_harmless_at_any_regularization(copies, regularization):
    columns, new = draw(0, 20, 5), draw(1, 7, 5)
    exact = torch.ones(5, 1, dtype=torch.float64)
    terms = (torch.cat([columns, *[columns[:, :3] + columns[:, 2:]] * copies], dim=1),)
    model = Ridge(regularization=regularization).fit(pooled(*terms), columns @ exact)
    terms = (torch.cat([new, *[new[:, :3] + new[:, 2:]] * copies], dim=1),)
    predicted = model.predict_terms(terms)
    torch.testing.assert_close(predicted, new @ exact, rtol=0, atol=1e-10)


def test_constant_features_give_the_mean():
    model = Ridge().fit(pooled(torch.ones(6, 3).double(), reduce="mean"), draw(0, 6, 1))
    new = (torch.ones(1, 3).double(),)
    torch.testing.assert_close(model.predict_terms(new), draw(0, 6, 1).mean(0, keepdim=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"regularization": 0.0}, "regularization is 0.0"),
        ({"regularization": float("nan")}, "regularization is nan"),
        ({"term_weights": (0.0, 0.0)}, "at least one of them larger"),
        ({"term_weights": (-1.0, 1.0)}, "term_weights are"),
        ({"folds": 1}, "folds is 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Ridge(**settings)


def test_unfit_data_are_refused(random_features):
    design = pooled(draw(0, 5, 2))
    with pytest.raises(ValueError, match="one row per structure"):
        Ridge().fit(design, draw(1, 4, 1))
    bad = draw(1, 5, 1)
    bad[3] = float("nan")
    with pytest.raises(ValueError, match="row 3 is not finite"):
        Ridge().fit(design, bad)
    with pytest.raises(ValueError, match="3 term weights for 1 terms"):
        Ridge(term_weights=(1.0, 1.0, 1.0)).fit(design, draw(1, 5, 1))
    with pytest.raises(ValueError, match="at least 2 folds and 2 samples"):
        Ridge().fit(design.select([0]), draw(1, 1, 1))
    model = Ridge().fit(design, draw(1, 5, 1))
    with pytest.raises(ValueError, match=r"\[3\] columns per term.*\[2\]"):
        model.predict_terms((draw(0, 2, 3),))
    with pytest.raises(ValueError, match="no standard deviation"):
        model.predict_with_std(random_features(0, counts=[2], widths=[2]))
