"""Models of tensors: equivariance, equality with explicit kernels, files."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from multilode.equivariants import Equivariants, FeatureLabels
from multilode.models import KernelRidge, Ridge, polynomial_kernels
from multilode.representation.representation import Representation
from multilode.symmetry.cartesian import tensor_kind
from multilode.symmetry.irrep import Irrep
from multilode.symmetry.wigner import wigner_d
from often import often
from regressions import (
    collected,
    copied,
    fitted,
    learned,
    tensor_regression,
)
from toy_tensors import FIELDS, molecules, targets


def representation(irreps, correlations=(("rho", "rho"), ("rho", "V"))):
    return Representation(
        fields=FIELDS, products=correlations, species=(1, 6, 8), centers=(6, 8),
        irreps=irreps,
    )  # fmt: skip


SHARED = {"regularization": 1e-6, "term_weights": (1.0, 0.3)}
ESTIMATORS = {
    "ridge": Ridge(**SHARED),
    "zeta1": KernelRidge(kernel=polynomial_kernels(zeta=1), **SHARED),
    "zeta2": KernelRidge(kernel=polynomial_kernels(zeta=2, normalize=True), **SHARED),
    "zeta3": KernelRidge(kernel=polynomial_kernels(zeta=3), **SHARED),
}


TENSORS = ("scalar", "vector", "symmetric", "matrix", "symmetric3")
ROTATED = list(itertools.product(ESTIMATORS, TENSORS, ("sum", "mean")))
# a mean is a sum over a number, for each kind of tensor alike
MEANS = [("ridge", "symmetric"), ("zeta2", "vector")]
USUAL = [c for c in ROTATED if c[2] == "sum" or c[:2] in MEANS]


@pytest.mark.parametrize(("name", "kind", "reduce"), often(ROTATED, USUAL))
def test_predictions_rotate_with_the_structures(name, kind, reduce):
    """Improper rotations too."""
    estimator = ESTIMATORS[name]
    regression = tensor_regression(kind, estimator, reduce)
    irreps = regression.feature_irreps
    if kind == "matrix":
        irreps = tuple(sorted({*irreps, Irrep(1, -1)}))
    recipe = representation(irreps)
    train = molecules(6)
    model, _ = learned(regression, recipe, recipe.compute(train), targets(train, kind))
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
    estimator = KernelRidge(kernel=polynomial_kernels(zeta=3))
    features = recipe.compute(molecules(3))
    design = collected(estimator, features, reduce=reduce, centers=recipe.centers, irrep=Irrep(1))
    (found,) = design.beside(design)
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
    train, test = (recipe.compute(molecules(n, seed=k)) for n, k in ((5, 0), (2, 3)))
    settings = {"regularization": 1e-4, "term_weights": (1.0,), "intercept": False}
    options = {"irrep": Irrep(2), "centers": recipe.centers}
    y = torch.randn(25, 1, generator=torch.Generator().manual_seed(0)).double()
    kernel = fitted(KernelRidge(**settings), train, y, **options)
    linear = fitted(Ridge(**settings), _products(train), y, **options)
    torch.testing.assert_close(
        kernel.predict(test), linear.predict(_products(test)), rtol=1e-8, atol=1e-10
    )


def _products(features):
    """Each component of the equivariants times each invariant of the center."""
    (term,) = features.terms
    both = term[Irrep(2)][..., None] * term[Irrep(0)][:, :, None]
    labels = FeatureLabels(("n",), np.arange(both[0, 0].numel())[:, None])
    made = Equivariants({Irrep(2): both.flatten(start_dim=2)}, {Irrep(2): labels}, term.centers)
    return replace(features, terms=(made,))


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
def test_saved_and_read_models_predict_the_same(estimator):
    regression, train = tensor_regression("symmetric", estimator), molecules(5)
    recipe = representation(regression.feature_irreps)
    model, _ = learned(regression, recipe, recipe.compute(train), targets(train, "symmetric"))
    again = copied(model)
    features = recipe.compute(molecules(2, seed=5))
    torch.testing.assert_close(again.predict(features), model.predict(features), rtol=0, atol=0)
    assert again.n_targets == 9


def test_learner_is_a_fit_to_the_subset():
    recipe = representation((Irrep(0), Irrep(2)))
    train, test = molecules(8), molecules(3, seed=1)
    regression = tensor_regression("symmetric", Ridge(regularization=1e-5))
    own = regression.map(recipe, lambda n, seed: iter([recipe.compute(train)]))
    designs = [own.collect([recipe.compute(s)]) for s in (train, test)]
    y, chosen = targets(train, "symmetric"), torch.tensor([6, 1, 3, 4])
    found = regression.learner(*designs)(chosen, y[chosen])
    model = regression.fit(designs[0].select(chosen), y[chosen])
    torch.testing.assert_close(found, model.predict(recipe.compute(test)), rtol=1e-9, atol=1e-10)
    assert len(designs[0].select(chosen)) == 4


def test_a_vector_is_learned_from_few_structures():
    recipe = representation((Irrep(1),))
    train, test = molecules(60), molecules(20, seed=1)
    regression = tensor_regression("vector", Ridge())
    model, _ = learned(regression, recipe, recipe.compute(train), targets(train, "vector"))
    y = targets(test, "vector")
    error = (model.predict(recipe.compute(test)) - y).norm() / y.norm()
    assert error < 0.2


def test_standard_deviations_rotate_as_variances_do():
    """Their sum over Cartesian components is that over spherical ones."""
    recipe = representation((Irrep(0), Irrep(1)))
    train = molecules(6)
    regression = tensor_regression("vector", KernelRidge())
    model, _ = learned(regression, recipe, recipe.compute(train), targets(train, "vector"))
    features = recipe.compute(molecules(2, seed=5))
    mean, std = model.predict_with_std(features)
    part = model.parts[Irrep(1)]
    _, own = part.predict_with_std(features)
    torch.testing.assert_close(mean, model.predict(features))
    torch.testing.assert_close(std.square().sum(dim=1), own.view(2, 3).square().sum(dim=1))


def test_missing_symmetries_are_named():
    with pytest.raises(ValueError, match="degree 1 and parity -1"):
        representation((Irrep(1, -1),), (("V",),))
    recipe = representation((Irrep(1),))
    features = recipe.compute(molecules(2))
    with pytest.raises(ValueError, match=r"add Irrep\(0\)"):
        features.rows(Irrep(1), invariants=True)
    with pytest.raises(ValueError, match="no product has features of"):
        features.rows(Irrep(2))
