"""Fitted sparse kernel models."""

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.equivariants.features import Features
from multilode.models.kernel_ridge.kernel_model import compared_rows
from multilode.models.kernels import AbstractKernel
from multilode.models.kernels.active import ActiveEnvironments, project
from multilode.models.kernels.environments import EnvironmentTerms
from multilode.models.kernels.row_kernels import (
    kernel_between,
    kernel_diagonal,
    prepare_terms,
    weighted_sum,
)
from multilode.models.model import AbstractModel
from multilode.models.reduce import Reduce
from multilode.models.solve.posterior import ProjectedPosterior
from multilode.models.solve.term_weights import Trial
from multilode.models.summary import ModelSummary, single_summary
from multilode.representation.representation import Representation
from multilode.symmetry.irrep import INVARIANT, Irrep


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class SparseKernelModel(AbstractModel):
    """y_A = sum_j a_j k_Aj + b over active environments j of each term.

    Args:
        kernels: kernel of each correlation term.
        active: active environments of each term; None for a term that is linear in its features.
        weights: a of each term, all scales inside; for a linear term the weights of its features.
        intercept: b; zeros if the model has none.
        factors: term weight over the mean diagonal of the term's projected kernel.
        term_weights: chosen or given weights of the scaled kernels.
        regularization: relative to the mean eigenvalue of the weighted kernel about its mean.
        reduce: sum or mean over centers.
        centers: center species that are compared with their own kind only; None compares all.
        irrep: the rows are its components.
        posterior: for standard deviations; None if they were not asked for.
        cv_table: trials of the cross-validation.
    """

    kernels: tuple[AbstractKernel, ...]
    active: tuple[ActiveEnvironments | None, ...]
    weights: tuple[Float[Tensor, "_ target"], ...]
    intercept: Float[Tensor, " target"]
    factors: tuple[float, ...]
    term_weights: tuple[float, ...]
    regularization: float
    reduce: Reduce
    centers: tuple[int, ...] | None
    posterior: ProjectedPosterior | None
    irrep: Irrep = INVARIANT
    cv_table: tuple[Trial, ...] = ()

    def __repr__(self) -> str:
        sizes = ("linear" if a is None else f"{len(a.rows.slots)} active" for a in self.active)
        return f"SparseKernelModel({self.n_targets} targets, terms {', '.join(sizes)})"

    @property
    def n_targets(self) -> int:
        """Number of predicted columns."""
        return len(self.intercept)

    def predict(self, features: Features) -> Float[Tensor, "row target"]:
        """Predictions, differentiable in the features."""
        return self._mean(self._compared(self._prepare(features)))

    def predict_with_std(
        self, features: Features
    ) -> tuple[Float[Tensor, "row target"], Float[Tensor, "row target"]]:
        """Mean and standard deviation of the projected process, noise of the data not included.

        Raises:
            ValueError: if the model was trained with `uncertainty=False`.
        """
        if self.posterior is None:
            raise ValueError(
                "this sparse kernel model has no standard deviations: it was trained without "
                "(uncertainty=False), or to so many forces that rows were not stored; a committee "
                "has error bars"
            )
        new = self._prepare(features)
        compared = self._compared(new)
        phi = [
            factor**0.5 * (part if active is None else active.features(part))
            for active, factor, part in zip(self.active, self.factors, compared, strict=True)
        ]
        pairs = zip(self.kernels, new.terms, strict=True)
        own = weighted_sum(self.factors, [kernel_diagonal(kernel, rows) for kernel, rows in pairs])
        variance = self.posterior.variance(torch.cat(phi, dim=1), own)
        return self._mean(compared), variance.sqrt()

    def quadratic(self, representation: Representation) -> None:
        """None: kernels are compared with features."""

    def deviations(self, features: Features) -> None:
        """None: there are no members."""

    def combined(self, matrix: Float[Tensor, "target new"]) -> "SparseKernelModel":
        """The model whose columns are linear combinations of the columns of this one."""
        weights = tuple(weight @ matrix for weight in self.weights)
        return replace(self, weights=weights, intercept=self.intercept @ matrix, posterior=None)

    def summary(self) -> ModelSummary:
        """Regularization, term weights and powers."""
        return single_summary(self, kernels=self.kernels)

    def _prepare(self, features: Features) -> EnvironmentTerms:
        rows = compared_rows(features, self.kernels, self.irrep).to(self.intercept.device)
        return prepare_terms(rows, self.kernels, reduce=self.reduce, centers=self.centers)

    def _compared(self, new: EnvironmentTerms) -> list[Float[Tensor, "row _"]]:
        """Kernels with the active environments, or the features of a linear term."""
        triples = zip(new.terms, self.kernels, self.active, strict=True)
        return [
            project(rows, kernel, None)
            if active is None
            else kernel_between(kernel, rows, active.rows)
            for rows, kernel, active in triples
        ]

    def _mean(self, compared: list[Float[Tensor, "row _"]]) -> Float[Tensor, "row target"]:
        pairs = zip(compared, self.weights, strict=True)
        return self.intercept + sum(part @ weight for part, weight in pairs)
