"""Every estimator keeps the promises of the interface; a row without an example fails here."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from multilode.equivariants.features import Features
from multilode.equivariants.labels import FeatureLabels
from multilode.models import (
    ESTIMATORS,
    MODELS,
    Committee,
    KernelRidge,
    Ridge,
    SparseKernelRidge,
    polynomial_kernels,
)

SHARED = {"regularization": 1e-3, "term_weights": (1.0, 0.4)}
EXAMPLES = {
    "ridge": Ridge(**SHARED),
    "kernel": KernelRidge(**SHARED),
    "linear and cubic kernel": KernelRidge(
        kernel=polynomial_kernels(zeta=(1, 3), normalize=(False, True)), **SHARED
    ),
    "sparse": SparseKernelRidge(**SHARED, n_active=9, uncertainty=False),
    "sparse mixture": SparseKernelRidge(
        kernel=polynomial_kernels(zeta=(2, 1)), **SHARED, n_active=20
    ),
}
EXAMPLES |= {f"committee, {name}": Committee(estimator=e) for name, e in EXAMPLES.items()}
KINDS = {cls: kind for kind, cls in MODELS.items()}


def features_of(seed, counts):
    g = torch.Generator().manual_seed(seed)
    n, widths = sum(counts), (5, 3)
    return Features(
        terms=tuple(torch.randn(n, w, generator=g, dtype=torch.float64) for w in widths),
        labels=tuple(FeatureLabels(("n",), np.arange(w)[:, None]) for w in widths),
        structure_index=torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)),
        atom_index=torch.arange(n),
        center_species=torch.tensor([1, 8])[torch.randint(2, (n,), generator=g)],
        n_structures=len(counts),
    )


TRAIN = features_of(0, [1 + k % 4 for k in range(40)])
NEW = features_of(1, [3, 0, 2])
Y = torch.randn(40, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def collected(estimator, *batches):
    known = estimator.explore(lambda n, seed: iter([TRAIN]), (1, 8))
    return estimator.collect(iter(batches), (1, 8), known), known


def test_every_estimator_has_an_example():
    assert set(ESTIMATORS.values()) | {Committee} == {type(e) for e in EXAMPLES.values()}


@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_estimators(name, reduce):
    estimator = EXAMPLES[name].with_settings(reduce=reduce)
    assert estimator.reduce == reduce
    design, known = collected(estimator, TRAIN)
    model = estimator.fit(design, Y)
    assert (model.n_targets, model.reduce) == (2, reduce)
    expected = model.predict(NEW)
    assert expected.shape == (3, 2)
    # what is predicted of a subset of structures does not depend on how it was fitted
    test = estimator.collect([NEW], (1, 8), known)
    found = estimator.learner(design, test)(torch.arange(40), Y)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-8)
    rows = torch.arange(40).flip(0)
    assert estimator.fit(design.select(rows), Y[rows]).predict(NEW).shape == (3, 2)
    # a file
    again = MODELS[KINDS[type(model)]].from_parts(
        model.tensors(), json.loads(json.dumps(model.settings()))
    )
    torch.testing.assert_close(again.predict(NEW), expected, rtol=1e-12, atol=1e-12)
    # a linear combination of targets
    if not isinstance(estimator, Committee):
        matrix = torch.tensor([[1.0, 2.0], [0.5, -1.0]]).double()
        torch.testing.assert_close(model.combined(matrix).predict(NEW), expected @ matrix)


@pytest.mark.parametrize("name", EXAMPLES)
def test_standard_deviations_or_a_reason(name):
    estimator = EXAMPLES[name]
    model = estimator.fit(collected(estimator, TRAIN)[0], Y)
    if name in ("ridge", "sparse"):
        with pytest.raises(ValueError, match="standard deviations"):
            model.predict_with_std(NEW)
        return
    mean, std = model.predict_with_std(NEW)
    torch.testing.assert_close(mean, model.predict(NEW), rtol=1e-9, atol=1e-9)
    assert bool((std >= 0).all())
    assert bool((std[[0, 2]] > 0).all())


@pytest.mark.parametrize("name", EXAMPLES)
def test_batches_do_not_matter(name):
    estimator = EXAMPLES[name]
    whole, known = collected(estimator, TRAIN)
    some, rest = (_part(TRAIN, *ends) for ends in ((0, 13), (13, 40)))
    parts = estimator.collect(iter([some, rest]), (1, 8), known)
    found, expected = (estimator.fit(d, Y).predict(NEW) for d in (parts, whole))
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-8)


def _part(features, start, stop):
    rows = (features.structure_index >= start) & (features.structure_index < stop)
    return replace(
        features,
        terms=tuple(term[rows] for term in features.terms),
        structure_index=features.structure_index[rows] - start,
        atom_index=torch.arange(int(rows.sum())),
        center_species=features.center_species[rows],
        n_structures=stop - start,
    )


@pytest.mark.parametrize("name", EXAMPLES)
def test_predictions_are_differentiable(name):
    estimator = EXAMPLES[name]
    model = estimator.fit(collected(estimator, TRAIN)[0], Y)

    def predict(first, second):
        return model.predict(replace(NEW, terms=(first, second)))

    terms = tuple(term.clone().requires_grad_() for term in NEW.terms)
    assert torch.autograd.gradcheck(predict, terms, rtol=1e-5, atol=1e-6)
