"""A model of a study: its settings, and its errors after training."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode import Target
from multilode.config import encode
from multilode.data import Dataset
from multilode.expansion import FieldExpansion
from multilode.models import AbstractEstimator
from multilode.prediction import (
    AbstractBaseline,
    NoBaseline,
    Predictor,
    rmse,
    rmse_percent,
    target_values,
    train,
)
from multilode.representation import Representation
from multilode_papers.systems.outcome import Row


@final
@dataclass(frozen=True, kw_only=True)
class Model:
    """Features and an estimator under a name.

    Args:
        name: as in the tables.
        fields: fields on their bases.
        products: which fields are multiplied.
        estimator: its open settings are chosen by cross-validation on the training set.
        centers: atomic numbers that carry features; None for all.
        tolerance: of the expansions; None for the default of each method.
    """

    name: str
    fields: Mapping[str, FieldExpansion]
    products: tuple[tuple[str, ...], ...]
    estimator: AbstractEstimator
    centers: tuple[int, ...] | None = None
    tolerance: float | None = None

    @staticmethod
    def of(
        name: str,
        fields: Mapping[str, FieldExpansion],
        terms: tuple[tuple[str, ...], ...],
        estimator: AbstractEstimator,
        *,
        centers: tuple[int, ...] | None = None,
        tolerance: float | None = None,
    ) -> "Model":
        """With those of many fields that the terms name."""
        used = {part for term in terms for part in term}
        return Model(
            name=name,
            fields={key: value for key, value in fields.items() if key in used},
            products=terms,
            estimator=estimator,
            centers=centers,
            tolerance=tolerance,
        )

    def representation(self, species: tuple[int, ...]) -> Representation:
        """Its features for these species."""
        return Representation(
            fields=self.fields,
            products=self.products,
            species=species,
            centers=self.centers or species,
            tolerance=self.tolerance,
        )

    def settings(self, species: tuple[int, ...]) -> dict[str, Any]:
        """Every hyper-parameter, in plain types."""
        settings: Any = self.estimator  # a frozen dataclass, which its abstract class is not
        return {
            "representation": encode(self.representation(species))[0],
            "estimator": {"kind": type(self.estimator).__name__, **asdict(settings)},
        }


def species_of(*sets: Dataset) -> tuple[int, ...]:
    """The atomic numbers in the sets, ascending."""
    return tuple(sorted({z for part in sets for z in part.structures.species.tolist()}))


def group_numbers(dataset: Dataset, key: str) -> Int[Tensor, " structure"]:
    """Equal numbers for structures with equal labels."""
    labels = np.array(dataset.labels(key))
    return torch.from_numpy(np.unique(labels, return_inverse=True)[1].astype(np.int64))


def fit(
    model: Model,
    dataset: Dataset,
    target: Target,
    *,
    group: str | None = None,
    species: tuple[int, ...] | None = None,
    baseline: AbstractBaseline | None = None,
) -> Predictor:
    """Train a model on a data set; by default nothing is subtracted from the target.

    Args:
        model: the model to train.
        dataset: the training set.
        target: the property to learn.
        group: key whose equal labels are never split between folds.
        species: atomic numbers that may occur; by default those of the training set.
        baseline: subtracted before the fit.
    """
    values = torch.from_numpy(
        target_values(dataset, target.key, None, target.tensor, target.per).numpy()
    )
    with dataset.naming_frames():
        return train(
            model.representation(species or species_of(dataset)),
            dataset.structures,
            y=values,
            target=target,
            estimator=model.estimator,
            baseline=baseline or NoBaseline(),
            groups=None if group is None else group_numbers(dataset, group),
        )


def error_row(
    name: str,
    reference: Float[Tensor, "structure ..."],
    predicted: Float[Tensor, "..."],
    *,
    data: str,
    subset: str,
    n_train: int,
    unit: str,
    paper: float | None = None,
    paper_unit: str = "%",
) -> Row:
    """The row of one model on one set, from references and predictions of equal shape."""
    percent = rmse_percent(reference, predicted)
    return Row(
        model=name,
        data=data,
        subset=subset,
        n_train=n_train,
        rmse=rmse(reference, predicted),
        rmse_percent=None if np.isnan(percent) else percent,
        unit=unit,
        paper=paper,
        paper_unit=paper_unit,
    )
