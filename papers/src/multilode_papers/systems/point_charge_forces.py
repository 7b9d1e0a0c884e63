"""Gain of forces in the fit: point charges, learned from energies alone and with forces."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from multilode import Forces, Target
from multilode.data import Dataset
from multilode.models import Ridge, TargetRegression
from multilode.prediction import (
    CompositionBaseline,
    LearningData,
    fit_subsets,
    force_values,
    learning_data,
)
from multilode.report import CurveSeries
from multilode.representation import Representation
from multilode_papers.systems.curves import series_of
from multilode_papers.systems.models import Model, species_of
from multilode_papers.systems.outcome import Row
from multilode_papers.systems.study import Study

KEY = "ewald_forces"
DIRECTIONS = 24  # of 192 in each box, drawn at random
SUFFIX = " + forces"


def curves_with_forces(
    study: Study,
    models: Sequence[Model],
    train: Dataset,
    test: Dataset,
    target: Target,
    *,
    sizes: Sequence[int],
    repeats: int,
) -> dict[str, CurveSeries]:
    """Test errors of energies, linear models fitted to energies and forces, by name.

    Energies are learned about those of the composition, which have no forces. At the largest size
    all orders are the same boxes, so that its spread is zero.

    Args:
        models: their features; the estimator is a ridge.
        train, test: boxes to learn from, the first `max(sizes)` of them, and to predict.
        target: the energy.
        sizes: numbers of training boxes.
        repeats: random orders.
    """
    some = train.select(range(max(sizes)))
    found = {}
    for model in models:
        name = f"{model.name}{SUFFIX}"
        study.stage(name)
        recipe = model.representation(species_of(train))
        forces = Forces(values=force_values(some, KEY), directions=DIRECTIONS, seed=study.seed)
        curve = fit_subsets(
            TargetRegression(target=target, estimator=Ridge()),
            _collected(recipe, some, target, forces),
            _collected(recipe, test, target, None),
            sizes=sizes,
            repeats=repeats,
            seed=study.seed,
            baseline=CompositionBaseline(),
        )
        found[name] = series_of(curve)
    return found


def _collected(
    recipe: Representation, part: Dataset, target: Target, forces: Forces | None
) -> LearningData:
    y = torch.from_numpy(part.column(target.key))
    with part.naming_frames():
        return learning_data(
            recipe, part.structures, y, target=target, estimator=Ridge(), forces=forces
        )


def rows_with_forces(
    curves: dict[str, CurveSeries], energies: Float[Tensor, " structure"], data: str, unit: str
) -> list[Row]:
    """The last point of each curve as a row.

    Args:
        curves: errors in percent of the standard deviation of `energies`, those of the test set.
        energies: of the test set.
        data: name of the data set.
        unit: of the energies.
    """
    deviation = float(energies.std(correction=0))
    return [
        Row(
            model=name,
            data=data,
            subset="test, mean of random orders",
            n_train=curve.sizes[-1],
            rmse=curve.errors[-1] * deviation / 100,
            rmse_percent=curve.errors[-1],
            unit=unit,
            paper=None,
        )
        for name, curve in curves.items()
    ]
