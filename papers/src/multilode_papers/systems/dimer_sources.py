"""Dimers whose atoms act at a distance by what surrounds them, not by their element alone.

Beside the potential of the elements a second one, of a single channel of sources: for each element
a constant and two components of the surroundings, in most classes also of the potential that the
others make there, fitted to the training curves together with the model. The strengths of the atoms
of each molecule add up to its charge, which is known. Whether sources respond to that potential was
chosen for each class by cross-validation of some of its training curves, see docs/performance.md.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from multilode import FeatureRecipe, Fitted, Target, features, train
from multilode.config import encode
from multilode.data import Dataset
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models import Ridge
from multilode.prediction import NoBaseline
from multilode.radial import GaussianTypeOrbitals

NAME = "rho x (V + Q)"
_CHARGE, _MOLECULE = "molecule_charge", "monomer"
_FITTED = Fitted(channels=1, components=2, responding=True, totals=_CHARGE, parts=_MOLECULE)
_UNMOVED = ("PP", "PA")  # classes whose sources do not respond
_ESTIMATOR = Ridge(scaling="auto")  # the rest is chosen by cross-validation


def sources_of(label: str) -> Fitted:
    """The sources of a class of dimers."""
    return replace(_FITTED, responding=label not in _UNMOVED)


def recipe(cutoff: float, label: str) -> FeatureRecipe:
    """`rho x V + rho x Q`, on the basis of the models without sources."""
    basis = GaussianTypeOrbitals(4, cutoff)
    potential = FieldExpansion(SmearedPotential(0.3, 1.0), basis, 3)
    density = FieldExpansion(GaussianDensity(0.3), basis, 3, neighbor_cutoff=cutoff)
    return features(
        "rho*V + rho*Q",
        rho=density,
        V=potential,
        Q=potential,
        channels=None,
        sources={"Q": sources_of(label)},
    )


def settings(cutoff: float, labels: Sequence[str]) -> dict[str, Any]:
    """Every hyper-parameter, in plain types; sources of each class."""
    own = recipe(cutoff, labels[0])
    return {
        "fields": {name: encode(field)[0] for name, field in own.fields.items()},
        "products": [list(names) for names in own.products],
        "sources": {label: {"Q": asdict(sources_of(label))} for label in labels},
        "estimator": {"kind": "Ridge", **asdict(_ESTIMATOR)},
    }


def learn_with_sources(
    training: Dataset, test: Dataset, target: Target, *, cutoff: float, group: str, label: str
) -> Float[Tensor, " structure"]:
    """Predictions for the test curves.

    Args:
        training: dimers with labels of their molecules and the charges of both.
        test: dimers to predict.
        target: their energy less that of the molecules alone.
        cutoff: of the surroundings, in Å.
        group: key whose equal labels are never split between folds.
        label: of the class.
    """
    own = Target(key=target.key, unit=target.unit, fragments=_MOLECULE)
    model = train(
        recipe(cutoff, label),
        with_charges(training),
        own,
        estimator=_ESTIMATOR,
        baseline=NoBaseline(),
        groups=group,
    )
    return model.predict(with_charges(test)).values.reshape(len(test))


def with_charges(dimers: Dataset) -> Dataset:
    """The same with the charge of its molecule for each atom."""
    charges = zip(dimers.column("charge_a"), dimers.column("charge_b"), strict=True)
    labels = dimers.atom_columns[_MOLECULE]
    own = [
        np.where(np.asarray(of) == 0, first, second).astype(float)
        for of, (first, second) in zip(labels, charges, strict=True)
    ]
    return dimers.with_values({}, {_CHARGE: own})
