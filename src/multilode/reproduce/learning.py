"""Learning curves of a study: features once, one or several estimators that compete for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.analysis import (
    LearningCurve,
    LearningData,
    learning_curve,
    rmse,
    standard_deviation,
)
from multilode.dataset import Dataset
from multilode.evaluation import target_values
from multilode.features import Features
from multilode.models import AbstractEstimator
from multilode.plots import CurveSeries
from multilode.predictor import as_columns, feature_batches
from multilode.reproduce.models import Model, group_numbers
from multilode.targets import Target
from multilode.task import estimator_of, rows_of, target_rows, with_irreps


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
        return CurveSeries(
            sizes=self.curve.sizes,
            errors=self.curve.mean_percent.tolist(),
            spreads=self.curve.standard_error_percent.nan_to_num(0.0).tolist(),
        )


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
            estimators: that compete, by name.
        """
        competitors = estimators or {type(model.estimator).__name__: model.estimator}
        competitors = {n: estimator_of(self.target, e) for n, e in competitors.items()}
        first = next(iter(competitors.values()))
        recipe = with_irreps(self.target, model.representation(self.species), first)
        batches = [
            self._features(recipe, part) if len(competitors) > 1 else None
            for part in (self.train, self.test)
        ]

        def data(estimator: AbstractEstimator, part: Dataset, kept: list | None) -> LearningData:
            y, groups = target_rows(
                self.target, recipe, part.structures, self._values(part), self._groups(part)
            )
            centers = recipe.centers_of(part.structures)
            features = kept if kept is not None else self._features(recipe, part)
            return LearningData(
                structures=rows_of(self.target, recipe, part.structures),
                design=estimator.collect(features, recipe.centers),
                y=y,
                groups=groups,
                owner=part.structures.structure_index[centers]
                if self.target.per == "atom"
                else None,
            )

        cv_rmse = {}
        if len(competitors) > 1:
            for name, estimator in competitors.items():
                own = data(estimator, self.train, batches[0])
                table = estimator.fit(own.design, own.y, groups=own.groups).settings()["cv_table"]
                cv_rmse[name] = min(row["rmse"] for row in table)
        chosen = min(cv_rmse, key=cv_rmse.get) if cv_rmse else next(iter(competitors))
        estimator = competitors[chosen]
        train, test = (
            data(estimator, part, kept)
            for part, kept in zip((self.train, self.test), batches, strict=True)
        )
        everything = torch.arange(len(train.y))
        predicted = estimator.learner(train.design, test.design, train.groups)(everything, train.y)
        curve = None
        if self.sizes and self.group is None:
            curve = learning_curve(
                estimator, train, test, sizes=self.sizes, repeats=self.repeats, seed=self.seed
            )
        elif self.sizes:
            curve = self._curve_of_groups(estimator, train, test)
        return Learned(
            estimator=chosen,
            predicted=predicted,
            reference=test.y,
            cv_rmse=cv_rmse,
            curve=curve,
        )

    def _curve_of_groups(
        self, estimator: AbstractEstimator, train: LearningData, test: LearningData
    ) -> LearningCurve:
        """Errors after training with some of the groups, nested random orders as elsewhere."""
        learner = estimator.learner(train.design, test.design, train.groups)
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

    def _features(self, recipe, part: Dataset) -> list[Features]:
        with part.naming_frames():
            return list(feature_batches(recipe, part.structures))

    def _values(self, part: Dataset) -> Float[Tensor, "row target"]:
        target = self.target
        return as_columns(target_values(part, target.key, None, target.tensor, target.per))

    def _groups(self, part: Dataset) -> Int[Tensor, " structure"] | None:
        return None if self.group is None else group_numbers(part, self.group)
