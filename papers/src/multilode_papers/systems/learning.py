"""Learning curves of a study: features once, one or several estimators that compete for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode import Target
from multilode.data import Dataset
from multilode.models import AbstractEstimator
from multilode.models.model import Learner
from multilode.models.targets import as_columns
from multilode.prediction.analysis import (
    LearningCurve,
    LearningData,
    learning_curve,
    learning_data,
    rmse,
    standard_deviation,
)
from multilode.prediction.evaluation import target_values
from multilode.prediction.task import estimator_of, rows_of, target_rows, with_irreps
from multilode.report import CurveSeries
from multilode.representation import Representation, feature_batches
from multilode_papers.systems.curves import series_of
from multilode_papers.systems.models import Model, group_numbers

Batches = Mapping[int, list[Any]]  # features of a data set, by its identity


@final
@dataclass(frozen=True, kw_only=True)
class Learned:
    """What one model has learned.

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
    """What a study learns: two sets and a target.

    Args:
        train: the training set.
        test: the test set.
        species: of both.
        target: what is learned.
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
            fitted = estimator_of(self.target, estimator).fit(own.design, own.y, groups=own.groups)
            cv_rmse[name] = min(row["rmse"] for row in fitted.settings()["cv_table"])
        chosen = min(cv_rmse, key=cv_rmse.get)
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
        test = self._data(estimator, recipe, self.test, kept=kept, known=train.known)
        own = estimator_of(self.target, estimator)
        learner = own.learner(train.design, test.design, train.groups)
        predicted = learner(torch.arange(len(train.y)), train.y)
        curve = None
        if self.sizes and self.group is None:
            curve = learning_curve(
                own, train, test, sizes=self.sizes, repeats=self.repeats, seed=self.seed
            )
        elif self.sizes:
            curve = self._curve_of_groups(learner, train, test)
        return Learned(
            estimator=name,
            predicted=predicted,
            reference=test.y,
            cv_rmse=cv_rmse or {},
            curve=curve,
        )

    def _recipe(self, model: Model, estimator: AbstractEstimator) -> Representation:
        return with_irreps(
            self.target, model.representation(self.species), estimator_of(self.target, estimator)
        )

    def _data(
        self,
        estimator: AbstractEstimator,
        recipe: Representation,
        part: Dataset,
        *,
        kept: Batches | None = None,
        known: Any = None,
    ) -> LearningData:
        """What the estimator needs, from features that were kept or are computed now."""
        own, values, groups = estimator_of(self.target, estimator), self._values(part), None
        if self.group is not None:
            groups = group_numbers(part, self.group)
        if kept is None:
            with part.naming_frames():
                return learning_data(
                    recipe,
                    part.structures,
                    values,
                    own,
                    target=self.target,
                    groups=groups,
                    known=known,
                )
        y, groups = target_rows(self.target, recipe, part.structures, values, groups)
        return LearningData(
            structures=rows_of(self.target, recipe, part.structures),
            design=own.collect(kept[id(part)], recipe.centers),
            y=y,
            groups=groups,
        )

    def _curve_of_groups(
        self, learner: Learner, train: LearningData, test: LearningData
    ) -> LearningCurve:
        """Errors after training with some of the groups, nested random orders as elsewhere."""
        names = train.groups.unique()
        errors = torch.empty(len(self.sizes), self.repeats, dtype=torch.float64)
        for repeat in range(self.repeats):
            generator = torch.Generator().manual_seed(self.seed + repeat)
            order = names[torch.randperm(len(names), generator=generator)]
            for row, size in enumerate(self.sizes):
                chosen = torch.isin(train.groups, order[:size]).nonzero().flatten()
                errors[row, repeat] = rmse(test.y, learner(chosen, train.y[chosen]))
        return LearningCurve(
            sizes=tuple(self.sizes), rmse=errors, test_deviation=standard_deviation(test.y)
        )

    def _features(self, recipe: Representation, part: Dataset) -> list[Any]:
        with part.naming_frames():
            return list(feature_batches(recipe, part.structures))

    def _values(self, part: Dataset) -> Float[Tensor, "row target"]:
        target = self.target
        return as_columns(target_values(part, target.key, None, target.tensor, target.per))
