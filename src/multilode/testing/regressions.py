"""Checks that kernels, estimators and targets must pass."""

import json
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

import multilode.config.tables  # noqa: F401 - what can be written to a file
from multilode.config.codec import decode, encode
from multilode.equivariants import Equivariants, FeatureLabels, Features
from multilode.equivariants.rotation import rotate_equivariants
from multilode.models import (
    AbstractEstimator,
    AbstractKernel,
    AbstractModel,
    Committee,
    Problem,
    Ridge,
    TargetMap,
    TargetRegression,
    training_rows,
)
from multilode.models.kernels import Points
from multilode.models.problem import SampleFeatures
from multilode.models.targets import Target
from multilode.numerics.modes import own_modes
from multilode.prediction.training import train
from multilode.representation.representation import Representation
from multilode.structures.batch import Structures
from multilode.symmetry.cartesian import tensor_kind
from multilode.symmetry.irrep import INVARIANT, Irrep


@own_modes(gradients=True)
def check_kernel(kernel: AbstractKernel) -> None:
    """A kernel is symmetric, positive semidefinite, smooth, and turns with equivariants.

    Source: theory#kernel; theory#gaussian-kernel; theory#equivariant-kernel.

    Raises:
        AssertionError: if it is not.
    """
    generator = torch.Generator().manual_seed(0)
    block = torch.randn(6, 3, 4, generator=generator, dtype=torch.float64)
    beside = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))

    def points(rows: Float[Tensor, "center m feature"], u: Float[Tensor, "center _"]) -> Points:
        own = u.repeat_interleave(3, dim=0) if kernel.uses_invariants else None
        return kernel.prepare(Points(values=rows.flatten(0, 1), invariants=own, components=3))

    scalar = kernel.prepare(Points(values=beside))
    for prepared in (scalar, points(block, beside)):
        matrix = kernel.between(prepared, prepared)
        torch.testing.assert_close(matrix, matrix.T, rtol=1e-10, atol=1e-12)
        values = torch.linalg.eigvalsh(matrix)
        _require(float(values[0]) > -1e-10 * float(values[-1].abs()), f"eigenvalues {values}")
        chosen = torch.arange(len(prepared)).flip(0)[:4]
        torch.testing.assert_close(kernel.between(prepared[chosen], prepared), matrix[chosen])
        power = kernel.power(prepared)
        if power is not None:
            product = prepared.values @ prepared.values.T
            u = prepared.values if prepared.invariants is None else prepared.invariants
            squared = u @ u.T
            torch.testing.assert_close(matrix, product if power == 1 else product * squared)
    turned = points(rotation @ block, beside)
    expected = kernel.between(points(block, beside), points(block, beside))
    found = kernel.between(turned, turned).view(6, 3, 6, 3)
    expected = torch.einsum("xm,imjn,yn->ixjy", rotation, expected.view(6, 3, 6, 3), rotation)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    smooth = torch.autograd.gradcheck(
        lambda x: kernel.between(kernel.prepare(Points(values=x)), scalar),
        beside.clone().requires_grad_(),
    )
    _require(smooth, "the gradient of the kernel is not that of its values")


@own_modes(gradients=True)
def check_estimator(estimator: AbstractEstimator) -> None:
    """An estimator trains on numbers, tensors and atoms, and is a committee and a learning curve.

    It goes through what `multilode.train` and `learning_curve` do with it: batches do not matter,
    subsets are fits of their own, models are differentiable, rotate, and come back from a file
    (which its kind of model, and its kernels, must be registered for).

    Raises:
        AssertionError: if a promise is not kept.
    """
    for reduce in ("sum", "mean"):
        _check_fit(estimator, reduce)
    _check_tensor(estimator)
    _check_tensor(Committee(estimator=estimator, n_members=4))


def _check_fit(estimator: AbstractEstimator, reduce: Literal["sum", "mean"]) -> None:
    train, new = _random_features(0, 40), _random_features(1, 3)
    y = torch.randn(40, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    problem = Problem(centers=(1, 8), n_terms=2, terms=(0, 1), reduce=reduce)
    own = estimator.map(problem, _always(train))
    _require(own.problem == problem, "the map of an estimator must keep its problem")
    design = own.collect([train])
    _require(design.n_rows == 40, "shapes or numbers of rows are not as promised")
    model = estimator.fit(design, y)
    expected = model.predict(new)
    _require(model.n_targets == 2, "shapes or numbers of rows are not as promised")
    _require(expected.shape == (3, 2), "shapes or numbers of rows are not as promised")
    rows = training_rows(design, y)
    close: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-7}
    solution = estimator.solve(rows)
    found = solution.predict(own.collect([new]).beside(design))
    torch.testing.assert_close(found, expected, **close)
    subsets = (torch.arange(40), torch.arange(5, 35))
    columns = estimator.solve(rows, subsets=subsets).predict(own.collect([new]).beside(design))
    _require(columns.shape == (3, 4), "columns of subsets are [subset, target]")
    torch.testing.assert_close(columns[:, :2], expected, **close)
    matrix = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64)
    torch.testing.assert_close(model.combined(matrix).predict(new), expected @ matrix, **close)
    parts = own.collect([_some(train, 0, 13), _some(train, 13, 40)])
    torch.testing.assert_close(estimator.fit(parts, y).predict(new), expected, **close)
    torch.testing.assert_close(_copied(model).predict(new), expected, rtol=1e-12, atol=1e-12)
    _check_differentiable(model, new)


def _require(condition: bool, message: str) -> None:  # noqa: FBT001 - what is required
    if not condition:
        raise AssertionError(message)


def _check_differentiable(model: AbstractModel, features: Features) -> None:
    def predict(*terms: Tensor) -> Tensor:
        pairs = zip(features.terms, terms, strict=True)
        moved = (replace(term, blocks={INVARIANT: x[:, None]}) for term, x in pairs)
        return model.predict(replace(features, terms=tuple(moved)))

    terms = tuple(x.clone().requires_grad_() for x in features.invariants)
    smooth = torch.autograd.gradcheck(predict, terms, rtol=1e-5, atol=1e-6)
    _require(smooth, "the gradient of predictions is not that of the values")


def _check_tensor(estimator: AbstractEstimator) -> None:
    """Vectors of molecules: subsets, files, and rotations of the predictions."""
    generator = torch.Generator().manual_seed(3)
    target = Target(key="vector", tensor="vector")
    regression = TargetRegression(target=target, estimator=estimator)
    train, new = (_random_vectors(seed, n) for seed, n in ((5, 24), (6, 4)))
    problem = Problem(centers=(1, 8), n_terms=2, terms=(0, 1), irrep=Irrep(1))
    own = TargetMap(maps={Irrep(1): estimator.map(problem, _always(train))})
    design, y = own.collect([train]), torch.randn(24, 3, generator=generator, dtype=torch.float64)
    rows = torch.arange(2, 22)
    found = regression.learner(design, own.collect([new]))(rows, y[rows])
    model = regression.fit(design.select(rows), y[rows])
    torch.testing.assert_close(model.predict(new), found, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(_copied(model).predict(new), found, rtol=1e-6, atol=1e-7)
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    turned = replace(new, terms=tuple(rotate_equivariants(t, rotation) for t in new.terms))
    expected = model.predict(new) @ rotation.T
    torch.testing.assert_close(model.predict(turned), expected, rtol=1e-7, atol=1e-9)


@own_modes(gradients=True)
def check_target(target: Target, representation: Representation, structures: Structures) -> None:
    """A target is learned and predicted in the shape that it has, and comes back from a file.

    Raises:
        AssertionError: if a shape or a predicted value changes on the way.
    """
    kind = None if target.tensor is None else tensor_kind(target.tensor)
    n = structures.n_structures if target.per == "structure" else structures.n_atoms
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(n, 1 if kind is None else kind.size, generator=generator, dtype=torch.float64)
    if kind is not None:
        y = kind.to_cartesian(kind.to_spherical(y))
    estimator = Ridge(regularization=1e-6, term_weights=(1.0,) * len(representation.products))
    predictor = train(representation, structures, y=y, target=target, estimator=estimator)
    values = predictor.predict(structures).values
    shape = (n, *(() if kind is None else kind.shape))
    _require(tuple(values.shape) == shape, f"predictions have shape {list(values.shape)}")
    plain, _ = encode(target)
    _require(decode(Target, plain) == target, "the target does not come back from plain data")
    again = replace(predictor, model=_copied(predictor.model)).predict(structures).values
    torch.testing.assert_close(again, values, rtol=1e-11, atol=1e-12, equal_nan=True)


def _always(features: Features) -> SampleFeatures:
    """The same sample for any number of structures."""

    def sample(_number: int, _seed: int) -> list[Features]:
        return [features]

    return sample


def _random_features(seed: int, n: int) -> Features:
    """Two terms of invariants of structures with none to three centers."""
    return _random(seed, n, (INVARIANT,))


def _random_vectors(seed: int, n: int) -> Features:
    """The same with vectors."""
    return _random(seed, n, (INVARIANT, Irrep(1)))


def _random(seed: int, n: int, irreps: tuple[Irrep, ...]) -> Features:
    generator = torch.Generator().manual_seed(seed)
    counts = torch.tensor([(k + 1) % 4 for k in range(n)])
    index = torch.arange(n).repeat_interleave(counts)
    terms = []
    for width in (5, 3):
        shapes = {irrep: (len(index), 2 * irrep.degree + 1, width) for irrep in irreps}
        labels = FeatureLabels(("n",), np.arange(width)[:, None])
        blocks = {
            irrep: torch.randn(*shape, generator=generator, dtype=torch.float64)
            for irrep, shape in shapes.items()
        }
        terms.append(Equivariants(blocks, dict.fromkeys(irreps, labels), torch.arange(len(index))))
    species = torch.tensor([1, 8])[torch.randint(2, (len(index),), generator=generator)]
    return Features(
        terms=tuple(terms), structure_index=index, center_species=species, n_structures=n
    )


def _some(features: Features, start: int, stop: int) -> Features:
    """Consecutive structures."""
    inside = (features.structure_index >= start) & (features.structure_index < stop)
    terms = (
        Equivariants({i: b[inside] for i, b in t.blocks.items()}, t.labels, t.centers[inside])
        for t in features.terms
    )
    return Features(
        terms=tuple(terms),
        structure_index=features.structure_index[inside] - start,
        center_species=features.center_species[inside],
        n_structures=stop - start,
    )


def _copied(model: AbstractModel) -> AbstractModel:
    """The model after a trip through a file."""
    plain, tensors = encode(model, AbstractModel)
    return decode(AbstractModel, json.loads(json.dumps(plain)), tensors)
