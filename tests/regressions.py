"""Designs and regressions for tests, from features that are given."""

import json

import multilode.config.tables  # noqa: F401 - what can be written
from multilode.config.codec import decode, encode
from multilode.models import (
    AbstractModel,
    FeatureDesign,
    PooledMap,
    Problem,
    TargetDesign,
    TargetRegression,
)
from multilode.models.targets import Target
from multilode.symmetry.irrep import INVARIANT


def problem_of(features, *, reduce="sum", centers=(1, 8), irrep=INVARIANT):
    """What is learned from these features."""
    terms = tuple(k for k, term in enumerate(features.terms) if irrep in term.blocks)
    return Problem(
        centers=centers, n_terms=len(features.terms), terms=terms, reduce=reduce, irrep=irrep
    )


def collected(estimator, train, *others, **options):
    """The design of a training set, and those of other sets with the same map."""
    own = estimator.map(problem_of(train, **options), lambda n, seed: iter([train]))
    designs = [own.collect([features]) for features in (train, *others)]
    return designs if others else designs[0]


def fitted(estimator, features, y, *, groups=None, **options):
    """The model of these features."""
    return estimator.fit(collected(estimator, features, **options), y, groups=groups)


def pooled(*terms, reduce="sum"):
    """A design of features that are pooled already."""
    numbers = tuple(range(len(terms)))
    problem = Problem(centers=(1,), n_terms=len(terms), terms=numbers, reduce=reduce)
    return FeatureDesign(map=PooledMap(problem=problem), terms=terms)


def tensor_regression(kind, estimator, reduce="sum"):
    """The regression of a tensor."""
    return TargetRegression(target=Target(key="t", tensor=kind, reduce=reduce), estimator=estimator)


def learned(regression, recipe, features, y):
    """The model of a target, and the design that it was fitted to."""
    own = regression.map(recipe, lambda n, seed: iter([features]))
    design = own.collect([features])
    return regression.fit(design, y), design


def learner(estimator, train, test, groups=None):
    """Fits to subsets of a design, which predict another one."""
    regression = TargetRegression(target=Target(key="y"), estimator=estimator)
    both = (TargetDesign(parts={INVARIANT: design}) for design in (train, test))
    return regression.learner(*both, groups=groups)


def copied(model):
    """The model after a trip through a file."""
    plain, tensors = encode(model, AbstractModel)
    return decode(AbstractModel, json.loads(json.dumps(plain)), tensors)
