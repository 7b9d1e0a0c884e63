"""Fitted linear models."""

from dataclasses import dataclass, replace
from typing import final

from jaxtyping import Float
from torch import Tensor

from multilode.equivariants.features import Features
from multilode.models.linear.quadratic_model import QuadraticModel
from multilode.models.model import AbstractModel
from multilode.models.pooling import pool_terms
from multilode.models.reduce import Reduce
from multilode.models.rows import Terms
from multilode.models.solve.primal import linear_predictions
from multilode.models.solve.term_weights import Trial
from multilode.models.summary import ModelSummary, single_summary
from multilode.representation.representation import Representation
from multilode.symmetry.irrep import INVARIANT, Irrep


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class RidgeModel(AbstractModel):
    """y_A = sum_c x_Ac . w_c + b, with the pooled features x_Ac of correlation term c.

    Args:
        weights: one matrix per term, for features as they come (all scales are inside).
        intercept: b; zeros if the model has none.
        scales: root mean squared norm of the pooled rows of each term, about their mean if there is
            an intercept; features are divided by it before the term weights act.
        term_weights: w_c of K = sum_c w_c X_c X_c^T.
        regularization: relative to the mean eigenvalue of K about its mean.
        reduce: sum or mean over centers.
        centers: center species with weights of their own; None if all centers share them.
        irrep: the rows are its components.
        cv_table: trials of the cross-validation.
    """

    weights: tuple[Float[Tensor, "_ target"], ...]
    intercept: Float[Tensor, " target"]
    scales: tuple[float, ...]
    term_weights: tuple[float, ...]
    regularization: float
    reduce: Reduce
    centers: tuple[int, ...] | None
    irrep: Irrep = INVARIANT
    cv_table: tuple[Trial, ...] = ()

    def __repr__(self) -> str:
        widths = ", ".join(str(len(weight)) for weight in self.weights)
        return f"RidgeModel({self.n_targets} targets, terms of {widths} features, {self.reduce})"

    @property
    def n_targets(self) -> int:
        """Number of predicted columns."""
        return len(self.intercept)

    def predict_terms(self, terms: Terms) -> Float[Tensor, "row target"]:
        """Predictions from features that are pooled already.

        Raises:
            ValueError: if number or width of the terms are not those of the training.
        """
        return linear_predictions(terms, self.weights, self.intercept)

    def predict(self, features: Features) -> Float[Tensor, "row target"]:
        """Predictions, differentiable in the features."""
        rows = features.rows(self.irrep)
        return self.predict_terms(pool_terms(rows, reduce=self.reduce, centers=self.centers))

    def predict_with_std(
        self,
        features: Features,  # noqa: ARG002 - the interface of a model
    ) -> tuple[Float[Tensor, "row target"], Float[Tensor, "row target"]]:
        """Not known: a ridge regression keeps no estimate of its error.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "a ridge model has no standard deviations for its predictions; "
            "train a committee, or the kernel model (zeta = 1 is the same linear model, as a "
            "Gaussian process)"
        )

    def quadratic(self, representation: Representation) -> QuadraticModel | None:
        """The same energies without features; None for several columns, irreps, or three fields."""
        own = {"reduce": self.reduce, "centers": self.centers}
        return QuadraticModel.of(self.weights, self.intercept, representation, **own)

    def deviations(self, features: Features) -> None:
        """None: there are no members."""

    def combined(self, matrix: Float[Tensor, "target new"]) -> "RidgeModel":
        """The model whose columns are linear combinations of the columns of this one."""
        weights = tuple(weight @ matrix for weight in self.weights)
        return replace(self, weights=weights, intercept=self.intercept @ matrix)

    def summary(self) -> ModelSummary:
        """Regularization and term weights."""
        return single_summary(self)
