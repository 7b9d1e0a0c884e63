"""Term weights tried on some rows: what is decomposed, and what the full search would choose."""

import pytest
import torch

from multilode.models import KernelRidge, Ridge, SparseKernelRidge
from multilode.models.model import training_rows
from multilode.models.rows import regression_rows
from multilode.models.solve import search
from multilode.models.solve.fit import Fit
from multilode.models.solve.primal import _decomposed
from multilode.models.solve.term_weights import Search
from multilode.models.solve.thin import ThinSVD
from multilode.progress import reporting
from multilode.representation.representation import Representation
from multilode.symmetry.irrep import Irrep
from regressions import collected, learned, pooled, tensor_regression
from toy_tensors import FIELDS, molecules, targets


def draw(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def two_terms(n, widths=(12, 9), noise=0.3):
    """Terms of which the first explains most, and their target."""
    x, y = draw(0, n, widths[0]), draw(1, n, widths[1])
    target = x @ draw(2, widths[0], 1) + 0.2 * y @ draw(3, widths[1], 1)
    return pooled(x, y), target + noise * draw(4, n, 1)


@pytest.fixture
def decompositions(monkeypatch):
    """Sizes of all decompositions: samples of eigh, rows and columns of svd."""
    found = []
    for name in ("eigh", "svd"):
        real = getattr(torch.linalg, name)

        def counted(matrix, *args, real=real, name=name, **options):
            if min(matrix.shape) > 1:
                found.append((name, max(matrix.shape)))
            return real(matrix, *args, **options)

        monkeypatch.setattr(torch.linalg, name, counted)
    return found


def set_rows(monkeypatch, fewest, most):
    monkeypatch.setattr(search, "FEWEST_ROWS", fewest)
    monkeypatch.setattr(search, "MOST_ROWS", most)


@pytest.mark.parametrize("estimator", [Ridge(), SparseKernelRidge(n_active=40), KernelRidge()])
def test_many_rows_are_decomposed_once(random_features, monkeypatch, decompositions, estimator):
    train = random_features(0, counts=[1] * 90, widths=[70, 60], species=(1,))
    y = draw(1, 90, 1)
    set_rows(monkeypatch, 20, 25)
    design = collected(estimator, train)
    decompositions.clear()
    model = estimator.fit(design, y)
    large = [size for _, size in decompositions if size > 25 + 1]
    assert len(large) == 1
    assert len(decompositions) > 5  # trials on some
    assert {trial.n_rows for trial in model.cv_table} == {25, 90}
    assert sum(trial.n_rows == 90 for trial in model.cv_table) == 1


@pytest.mark.parametrize("settings", [{"term_weights": (1.0, 0.1)}, {"regularization": 1e-3}, {}])
def test_few_rows_are_searched_as_a_whole(monkeypatch, settings):
    design, y = two_terms(40)
    found = Ridge(**settings).fit(design, y)
    set_rows(monkeypatch, 1000, 2000)
    full = Ridge(**settings).fit(design, y)
    assert found.cv_table == full.cv_table
    torch.testing.assert_close(found.weights, full.weights, rtol=0, atol=0)
    assert {trial.n_rows for trial in found.cv_table} == {40}


@pytest.mark.parametrize("widths", [(12, 9), (150, 130)], ids=["tall", "wide"])
def test_the_choice_is_close_to_that_of_all_rows(monkeypatch, widths):
    design, y = two_terms(240, widths)
    full = Ridge().fit(design, y)
    set_rows(monkeypatch, 120, 120)
    found = Ridge().fit(design, y)
    errors = [model.summary().cv_rmse for model in (found, full)]
    assert errors[0] <= 1.02 * errors[1]
    assert found.term_weights != (1.0, 1.0)


def test_the_table_tells_on_how_many_rows_and_the_error_is_that_of_all(monkeypatch):
    design, y = two_terms(200)
    set_rows(monkeypatch, 30, 30)
    model = Ridge().fit(design, y)
    *tried, confirmed = model.cv_table
    assert {trial.n_rows for trial in tried} == {30}
    assert confirmed.n_rows == 200
    assert model.summary().cv_rmse == confirmed.rmse
    (alone,) = Ridge(term_weights=model.term_weights).fit(design, y).cv_table
    assert confirmed.rmse == pytest.approx(alone.rmse, rel=1e-12)


def test_components_of_tensors_stay_together_in_what_is_searched(monkeypatch):
    irreps = (Irrep(0), Irrep(1))
    recipe = Representation(
        fields=FIELDS,
        products=(("rho", "rho"), ("rho", "V")),
        species=(1, 6, 8),
        centers=(6, 8),
        irreps=irreps,
    )
    train = molecules(20)
    regression, y = tensor_regression("vector", KernelRidge()), targets(train, "vector")
    searched = []
    whole = search.search_term_weights

    def watched(evaluate, n_terms, *, progress):
        searched.append(evaluate.__self__._rows)
        return whole(evaluate, n_terms, progress=progress)

    monkeypatch.setattr(search, "search_term_weights", watched)
    set_rows(monkeypatch, 24, 24)
    model, _ = learned(regression, recipe, recipe.compute(train), y)
    (rows,) = searched
    assert len(rows) == 24
    assert rows.terms[0].shape == (24, 24)
    assert (rows.groups.unique(return_counts=True)[1] == 3).all()
    assert len(model.parts[Irrep(1)].dual) == 60


def test_a_regularization_far_from_that_of_some_rows_is_found():
    design, y = two_terms(60)
    rows = training_rows(design, y)
    spectra = _decomposed(rows, intercept=False)
    folds = search.make_folds(60, 5, 0)
    spectrum = spectra.spectrum((1.0, 1.0))
    expected = search._scanned(spectrum, y, folds, None, None).best
    for near in (1e-12, 1e-3, 1e3):
        assert search._scanned(spectrum, y, folds, None, near).best[:3] == expected[:3]


@pytest.mark.parametrize(("n", "n_terms", "expected"), [
    (400, 2, 400), (500, 2, 500), (900, 2, 500), (2000, 2, 737), (20000, 3, 1200),
])  # fmt: skip
def test_a_search_costs_about_as_much_as_one_decomposition(n, n_terms, expected):
    found = search.searched_rows(n, n_terms)
    assert found == expected
    assert 10 * n_terms * found**3 <= max(n**3, 10 * n_terms * search.FEWEST_ROWS**3) * 1.01


@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize("width", [7, 60], ids=["tall", "wide"])
def test_weights_are_those_of_a_singular_value_decomposition(width, reduce):
    x, y = draw(0, 30, width), draw(1, 30, 2)
    design = pooled(x, reduce=reduce)
    model = Ridge(regularization=1e-4, per_species=False).fit(design, y)
    rows = regression_rows(design.map.problem, (x,), y)
    intercept = reduce == "mean"
    settled = search.settle(
        rows,
        Search(regularization=1e-4, term_weights=None, folds=5, seed=0),
        lambda own: _decomposed(own, intercept=intercept),
    )
    fit = Fit.of(settled, x, y, intercept=intercept)
    weights, offset = ThinSVD.of(x, y, intercept=intercept).solve(settled.regularization)
    torch.testing.assert_close(fit.weights, weights, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(fit.offset, offset, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(model.weights[0], weights, rtol=1e-9, atol=1e-10)


def test_trials_are_reported_with_a_total(monkeypatch):
    design, y = two_terms(80)
    set_rows(monkeypatch, 20, 20)
    stages = {}

    def stage(name):
        return lambda done, total: stages.setdefault(name, []).append((done, total))

    with reporting(stage):
        Ridge().fit(design, y)
    assert list(stages) == ["choosing term weights on 20 rows", "decomposing 80 rows"]
    calls = stages["choosing term weights on 20 rows"]
    assert calls[-1][0] == calls[-1][1]
    assert all(done <= total for done, total in calls)
    Ridge().fit(design, y)  # nobody asks
    assert len(stages) == 2
    assert all(len(calls) < 20 for calls in stages.values())
