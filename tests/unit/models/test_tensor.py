"""Models of tensors: equivariance, equality with explicit kernels, files."""

from dataclasses import replace

import pytest
import torch

from multilode.models import KernelRidge, Ridge, TensorModel, TensorRegression, needed_irreps
from multilode.models import tensor as tensor_module
from multilode.representation.recipe import Representation
from multilode.symmetry.cartesian import tensor_kind
from multilode.symmetry.irrep import Irrep
from multilode.symmetry.wigner import wigner_d
from toy_tensors import FIELDS, molecules, targets


def representation(irreps, correlations=(("rho", "rho"), ("rho", "V"))):
    return Representation(
        expansions=FIELDS, correlations=correlations, species=(1, 6, 8), centers=(6, 8),
        irreps=irreps,
    )  # fmt: skip


ESTIMATORS = [
    Ridge(regularization=1e-6, term_weights=(1.0, 0.3)),
    KernelRidge(zeta=1, regularization=1e-6, term_weights=(1.0, 0.3)),
    KernelRidge(zeta=2, regularization=1e-6, term_weights=(1.0, 0.3), normalize=True),
    KernelRidge(zeta=3, regularization=1e-6, term_weights=(1.0, 0.3)),
]


@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize("kind", ["scalar", "vector", "symmetric", "matrix", "symmetric3"])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=["ridge", "zeta1", "zeta2", "zeta3"])
def test_predictions_rotate_with_the_structures(estimator, kind, reduce):
    """Improper rotations too."""
    irreps = needed_irreps(kind, estimator)
    if kind == "matrix":
        irreps = tuple(sorted({*irreps, Irrep(1, -1)}))
    recipe = representation(irreps)
    train = molecules(6)
    regression = TensorRegression(tensor=kind, estimator=estimator, reduce=reduce)
    model = regression.fit(
        regression.collect([recipe.compute(train)], recipe.centers), targets(train, kind)
    )
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(4)).double())
    for rotation in (q, -q):
        before = model.predict(recipe.compute(molecules(3, seed=9)))
        after = model.predict(recipe.compute(molecules(3, seed=9, rotation=rotation)))
        improper = bool(torch.linalg.det(rotation) < 0)
        for irrep, block in tensor_kind(kind).to_spherical(before).items():
            expected = wigner_d(rotation, irrep.degree) @ block
            expected *= irrep.parity if improper else 1
            found = tensor_kind(kind).to_spherical(after)[irrep]
            torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_kernel_of_equivariants_is_the_formula(reduce):
    """k_mm' = (x . x')_mm' (u . u')^(zeta - 1), summed over centers of one kind."""
    recipe = representation((Irrep(0), Irrep(1)), (("rho", "rho"),))
    estimator = KernelRidge(zeta=3, reduce=reduce)
    features = recipe.compute(molecules(3))
    rows = features.of(Irrep(1), invariants=True)
    design = estimator.collect([rows], recipe.centers)
    (found,) = estimator.term_kernels(design, design)
    block, u = features.terms[0].blocks[Irrep(1)], features.terms[0].blocks[Irrep(0)][:, 0]
    expected = torch.zeros(3, 3, 3, 3, dtype=torch.float64)
    counts = torch.bincount(features.structure_index)
    for i, a in enumerate(features.structure_index.tolist()):
        for j, b in enumerate(features.structure_index.tolist()):
            if features.center_species[i] == features.center_species[j]:
                own = block[i] @ block[j].T * (u[i] @ u[j]) ** 2
                expected[a, :, b] += own / (counts[a] * counts[b] if reduce == "mean" else 1)
    torch.testing.assert_close(found, expected.reshape(9, 9), rtol=1e-12, atol=1e-12)


def test_an_equivariant_kernel_with_zeta_2_is_linear_in_products():
    """Of each component with each invariant of the same center."""
    recipe = representation((Irrep(0), Irrep(2)), (("rho", "V"),))
    train, test = molecules(5), molecules(2, seed=3)
    settings = {"regularization": 1e-4, "term_weights": (1.0,), "intercept": False}
    kernel = KernelRidge(zeta=2, **settings)
    linear = Ridge(**settings)
    y = torch.randn(25, 1, generator=torch.Generator().manual_seed(0)).double()

    def products(rows):
        both = rows.terms[0][:, :, None] * rows.invariants[0][:, None]
        labels = replace(rows.labels[0], values=rows.labels[0].values.repeat(u_size(rows), axis=0))
        return replace(rows, terms=(both.flatten(start_dim=1),), labels=(labels,), invariants=None)

    def u_size(rows):
        return rows.invariants[0].shape[1]

    def fitted(estimator, change):
        rows = [change(recipe.compute(s).of(Irrep(2), invariants=True)) for s in (train, test)]
        model = estimator.fit(estimator.collect([rows[0]], recipe.centers), y)
        return model.predict(rows[1])

    torch.testing.assert_close(
        fitted(kernel, lambda rows: rows), fitted(linear, products), rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=["ridge", "zeta1", "zeta2", "zeta3"])
def test_saved_and_read_models_predict_the_same(estimator):
    recipe = representation(needed_irreps("symmetric", estimator))
    train = molecules(5)
    regression = TensorRegression(tensor="symmetric", estimator=estimator)
    design = regression.collect([recipe.compute(train)], recipe.centers)
    model = regression.fit(design, targets(train, "symmetric"))
    again = TensorModel.from_parts(model.tensors(), model.settings())
    features = recipe.compute(molecules(2, seed=5))
    torch.testing.assert_close(again.predict(features), model.predict(features), rtol=0, atol=0)
    assert again.n_targets == 9


def test_learner_is_a_fit_to_the_subset():
    recipe = representation((Irrep(0), Irrep(2)))
    train, test = molecules(8), molecules(3, seed=1)
    regression = TensorRegression(tensor="symmetric", estimator=Ridge(regularization=1e-5))
    designs = [regression.collect([recipe.compute(s)], recipe.centers) for s in (train, test)]
    y, chosen = targets(train, "symmetric"), torch.tensor([6, 1, 3, 4])
    found = regression.learner(*designs)(chosen, y[chosen])
    model = regression.fit(designs[0].select(chosen), y[chosen])
    torch.testing.assert_close(found, model.predict(recipe.compute(test)), rtol=1e-9, atol=1e-10)
    assert designs[0].select(chosen).n_structures == 4


def test_a_vector_is_learned_from_few_structures():
    recipe = representation((Irrep(1),))
    train, test = molecules(60), molecules(20, seed=1)
    regression = TensorRegression(tensor="vector", estimator=Ridge())
    model = regression.fit(
        regression.collect([recipe.compute(train)], recipe.centers), targets(train, "vector")
    )
    y = targets(test, "vector")
    error = (model.predict(recipe.compute(test)) - y).norm() / y.norm()
    assert error < 0.2


def test_standard_deviations_rotate_as_variances_do():
    """Their sum over Cartesian components is that over spherical ones."""
    recipe = representation((Irrep(0), Irrep(1)))
    train = molecules(6)
    regression = TensorRegression(tensor="vector", estimator=KernelRidge(zeta=2))
    design = regression.collect([recipe.compute(train)], recipe.centers)
    model = regression.fit(design, targets(train, "vector"))
    features = recipe.compute(molecules(2, seed=5))
    mean, std = model.predict_with_std(features)
    part = model.parts[Irrep(1)]
    _, own = part.predict_with_std(features.of(Irrep(1), invariants=True))
    torch.testing.assert_close(mean, model.predict(features))
    torch.testing.assert_close(std.square().sum(dim=1), own.view(2, 3).square().sum(dim=1))


def test_missing_symmetries_are_named():
    with pytest.raises(ValueError, match="degree 1 and parity -1"):
        representation((Irrep(1, -1),), (("V",),))
    recipe = representation((Irrep(1),))
    features = recipe.compute(molecules(2))
    with pytest.raises(ValueError, match=r"add Irrep\(0\)"):
        features.of(Irrep(1), invariants=True)
    with pytest.raises(ValueError, match="no correlation has features of"):
        features.of(Irrep(2), invariants=False)


def test_term_weights_of_many_rows_are_chosen_on_some(monkeypatch):
    recipe = representation((Irrep(0), Irrep(1)))
    train = molecules(20)
    regression = TensorRegression(tensor="vector", estimator=KernelRidge(zeta=2))
    design = regression.collect([recipe.compute(train)], recipe.centers)
    y = targets(train, "vector")
    monkeypatch.setattr(tensor_module, "_SEARCH_ROWS", 24)
    model = regression.fit(design, y)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))[:8].sort().values
    some = regression.fit(design.select(order), y[order]).parts[Irrep(1)]
    assert model.parts[Irrep(1)].term_weights == some.term_weights
    assert len(model.parts[Irrep(1)].dual) == 60
