"""Learning curves of a study: features once, one or several estimators that compete for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode import Target
from multilode.data import Dataset
from multilode.models import AbstractEstimator, TargetMap, TargetRegression, as_columns
from multilode.prediction import (
    LearningCurve,
    LearningData,
    fit_subsets,
    learning_data,
    target_values,
    with_irreps,
)
from multilode.report import CurveSeries
from multilode.representation import Representation, feature_batches
from multilode_papers.systems.curves import series_of
from multilode_papers.systems.models import Model, group_numbers

Batches = Mapping[int, list[Any]]  # features of a data set, by its identity


@final
@dataclass(frozen=True, kw_only=True)
class Learned:
    """One model after training, with its errors.

    Args:
        estimator: name of the one that was chosen.
        predicted: values of the test set after training with all structures.
        reference: the targets of the test set, in the same form.
        cv_rmse: error in cross-validation of every estimator, where one was done.
        curve: test error against the number of structures; None if it was not wanted.
    """

    estimator: str
    predicted: Float[Tensor, "row target"]
    reference: Float[Tensor, "row target"]
    cv_rmse: Mapping[str, float]
    curve: LearningCurve | None

    def series(self) -> CurveSeries:
        """The learning curve in percent, for a figure.

        Raises:
            ValueError: if there is none.
        """
        if self.curve is None:
            raise ValueError("no learning curve was computed; give sizes")
        return series_of(self.curve)


@final
@dataclass(frozen=True, kw_only=True)
class Task:
    """The task of a study: two sets and a target.

    Args:
        train: the training set.
        test: the test set.
        species: of both.
        target: the property to learn.
        sizes: of the subsets for learning curves; none for no curve.
        repeats: number of random orders for them.
        group: key whose equal labels are never split between folds; sizes then count groups, and
            subsets are of whole groups.
        seed: of the random orders.
    """

    train: Dataset
    test: Dataset
    species: tuple[int, ...]
    target: Target
    sizes: Sequence[int] = ()
    repeats: int = 4
    group: str | None = None
    seed: int = 0

    def learn(
        self, model: Model, estimators: Mapping[str, AbstractEstimator] | None = None
    ) -> Learned:
        """Train on everything and test; of several estimators take the best in cross-validation.

        Args:
            model: features, and the estimator if no others are given.
            estimators: that compete, by name; of pooled features or full kernels.
        """
        if estimators is None:
            return self._learned(model.estimator, self._recipe(model, model.estimator), model.name)
        first = next(iter(estimators.values()))
        recipe = self._recipe(model, first)
        batches = {id(part): self._features(recipe, part) for part in (self.train, self.test)}
        cv_rmse = {}
        for name, estimator in estimators.items():
            own = self._data(estimator, recipe, self.train, kept=batches)
            fitted = self._regression(estimator).fit(own.design, own.y, groups=own.groups)
            cv_rmse[name] = fitted.summary().cv_rmse
        chosen = min(cv_rmse, key=lambda name: cv_rmse[name])
        return self._learned(estimators[chosen], recipe, chosen, cv_rmse, batches)

    def _learned(
        self,
        estimator: AbstractEstimator,
        recipe: Representation,
        name: str,
        cv_rmse: Mapping[str, float] | None = None,
        kept: Batches | None = None,
    ) -> Learned:
        """Predictions after training on everything, and the curve."""
        train = self._data(estimator, recipe, self.train, kept=kept)
        test = self._data(estimator, recipe, self.test, kept=kept, maps=train.maps)
        own, curve = self._regression(estimator), None
        learner = own.learner(train.design, test.design, groups=train.groups)
        if self.sizes:
            curve = fit_subsets(
                own,
                train,
                test,
                sizes=self.sizes,
                repeats=self.repeats,
                seed=self.seed,
                ordering="random" if self.group is None else "groups",
            )
        return Learned(
            estimator=name,
            predicted=learner(torch.arange(len(train.y)), train.y),
            reference=test.y,
            cv_rmse=cv_rmse or {},
            curve=curve,
        )

    def _regression(self, estimator: AbstractEstimator) -> TargetRegression:
        return TargetRegression(target=self.target, estimator=estimator)

    def _recipe(self, model: Model, estimator: AbstractEstimator) -> Representation:
        return with_irreps(self._regression(estimator), model.representation(self.species))

    def _data(
        self,
        estimator: AbstractEstimator,
        recipe: Representation,
        part: Dataset,
        *,
        kept: Batches | None = None,
        maps: TargetMap | None = None,
    ) -> LearningData:
        """Rows for the estimator, from features that were kept or are computed now."""
        with part.naming_frames():
            return learning_data(
                recipe,
                part.structures,
                self._values(part),
                target=self.target,
                estimator=estimator,
                groups=None if self.group is None else group_numbers(part, self.group),
                maps=maps,
                features=None if kept is None else kept[id(part)],
            )

    def _features(self, recipe: Representation, part: Dataset) -> list[Any]:
        with part.naming_frames():
            return list(feature_batches(recipe, part.structures))

    def _values(self, part: Dataset) -> Float[Tensor, "row target"]:
        target = self.target
        return as_columns(target_values(part, target.key, None, target.tensor, target.per))
