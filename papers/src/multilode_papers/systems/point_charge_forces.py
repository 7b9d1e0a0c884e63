"""What forces in the fit add: point charges, learned from energies alone and with forces."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from multilode import Forces, Target
from multilode.data import Dataset
from multilode.models import Ridge, TargetRegression
from multilode.prediction import CompositionBaseline, fit_subsets, force_values, learning_data
from multilode.report import CurveSeries
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
        study: says how far it is.
        models: their features; the estimator is a ridge.
        train: boxes to learn from, the first `max(sizes)` of them.
        test: boxes to predict.
        target: the energy.
        sizes: numbers of training boxes.
        repeats: random orders.
    """
    some = train.select(range(max(sizes)))
    found = {}
    for model in models:
        study.stage(f"{model.name}{SUFFIX}")
        forces = Forces(values=force_values(some, KEY), directions=DIRECTIONS, seed=study.seed)
        recipe, estimator, collected = model.representation(species_of(train)), Ridge(), []
        for part, given in ((some, forces), (test, None)):
            y = torch.from_numpy(part.column(target.key))
            with part.naming_frames():
                collected.append(
                    learning_data(
                        recipe,
                        part.structures,
                        y,
                        target=target,
                        estimator=estimator,
                        forces=given,
                    )
                )
        curve = fit_subsets(
            TargetRegression(target=target, estimator=estimator),
            *collected,
            sizes=sizes,
            repeats=repeats,
            seed=study.seed,
            baseline=CompositionBaseline(),
        )
        found[f"{model.name}{SUFFIX}"] = series_of(curve)
    return found


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
