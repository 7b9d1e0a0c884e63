"""Fitted kernel models."""

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.equivariants.features import FeatureRows, Features
from multilode.models.kernels import AbstractKernel, Points
from multilode.models.kernels.compression import Compression
from multilode.models.kernels.environments import Environments, EnvironmentTerms
from multilode.models.kernels.row_kernels import (
    kernel_between,
    kernel_diagonal,
    prepare_terms,
    weighted_sum,
)
from multilode.models.model import AbstractModel
from multilode.models.reduce import Reduce
from multilode.models.solve.posterior import Posterior
from multilode.models.solve.term_weights import Trial
from multilode.models.summary import ModelSummary, single_summary
from multilode.representation.representation import Representation
from multilode.symmetry.irrep import INVARIANT, Irrep


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class KernelModel(AbstractModel):
    """y_A = sum_B a_B sum_c f_c K^c_AB + b over the training rows B.

    Args:
        kernels: kernel of each correlation term.
        environments: training environments of each term; without any row where they are not needed.
        moments: for kernels that are first or second powers of scalar products, the training set
            summed into one vector or matrix per slot, with which a prediction costs no more than a
            linear model; an empty tensor for others.
        dual: a.
        intercept: b; zeros if the model has none.
        factors: f_c, the term weight over the mean diagonal of the term's kernel.
        term_weights: chosen or given weights of the scaled kernels.
        regularization: relative to the mean eigenvalue of the weighted kernel about its mean.
        reduce: sum or mean over centers.
        centers: center species that are compared with their own kind only; None compares all.
        irrep: the rows are its components.
        posterior: for standard deviations; None if they were not asked for.
        cv_table: trials of the cross-validation.
        compressions: of the features of environments, of each term; without any, all features are
            compared.
    """

    kernels: tuple[AbstractKernel, ...]
    environments: tuple[Environments, ...]
    moments: tuple[Float[Tensor, "..."], ...]
    dual: Float[Tensor, "row target"]
    intercept: Float[Tensor, " target"]
    factors: tuple[float, ...]
    term_weights: tuple[float, ...]
    regularization: float
    reduce: Reduce
    centers: tuple[int, ...] | None
    posterior: Posterior | None
    irrep: Irrep = INVARIANT
    cv_table: tuple[Trial, ...] = ()
    compressions: tuple[Compression | None, ...] = ()

    def __repr__(self) -> str:
        return (
            f"KernelModel({self.n_targets} targets, {len(self.dual)} training rows, "
            f"{', '.join(map(str, self.kernels))})"
        )

    @property
    def n_targets(self) -> int:
        """Number of predicted columns."""
        return len(self.intercept)

    def predict(self, features: Features) -> Float[Tensor, "row target"]:
        """Predictions, differentiable in the features."""
        return self._predict(self._prepare(features))

    def predict_with_std(
        self, features: Features
    ) -> tuple[Float[Tensor, "row target"], Float[Tensor, "row target"]]:
        """Mean and standard deviation of the Gaussian process, noise of the data not included.

        Raises:
            ValueError: if the model was trained with `uncertainty=False`.
        """
        if self.posterior is None:
            raise ValueError(
                "this kernel model was trained without standard deviations; "
                "train it with uncertainty=True"
            )
        new = self._prepare(features)
        triples = tuple(zip(self.kernels, new.terms, self.environments, strict=True))
        cross = [kernel_between(kernel, rows, trained) for kernel, rows, trained in triples]
        own = [kernel_diagonal(kernel, rows) for kernel, rows, _ in triples]
        variance = self.posterior.variance(
            weighted_sum(self.factors, cross), weighted_sum(self.factors, own)
        )
        return self._predict(new), variance.sqrt()

    def quadratic(self, representation: Representation) -> None:
        """None: kernels are compared with features."""

    def deviations(self, features: Features) -> None:
        """None: there are no members."""

    def combined(self, matrix: Float[Tensor, "target new"]) -> "KernelModel":
        """The model whose columns are linear combinations of the columns of this one."""
        return replace(
            self,
            moments=tuple(_combined_moments(moments, matrix) for moments in self.moments),
            dual=self.dual @ matrix,
            intercept=self.intercept @ matrix,
            posterior=None,
        )

    def summary(self) -> ModelSummary:
        """Regularization, term weights and powers."""
        return single_summary(self, kernels=self.kernels)

    def _prepare(self, features: Features) -> EnvironmentTerms:
        rows = compared_rows(features, self.kernels, self.irrep).to(self.dual.device)
        return prepare_terms(
            rows,
            self.kernels,
            reduce=self.reduce,
            centers=self.centers,
            compressions=self.compressions,
        )

    def _predict(self, new: EnvironmentTerms) -> Float[Tensor, "row target"]:
        total = self.intercept.expand(new.n_rows, -1)
        for number, factor in enumerate(self.factors):
            if factor > 0:
                total = total + factor * self._term(number, new.terms[number])
        return total

    def _term(self, number: int, new: Environments) -> Float[Tensor, "row target"]:
        """sum_B a_B K_AB of one term."""
        kernel, moments = self.kernels[number], self.moments[number]
        power = kernel.power(new.points)
        if power is None or moments.ndim == 1:  # earlier files have none of equivariants
            return kernel_between(kernel, new, self.environments[number]) @ self.dual
        total = new.scale.new_zeros(new.n_rows, self.n_targets)
        for slot in new.slots.unique().tolist():
            own = new.of_slot(slot)
            values = _apply_moments(own.points, moments[slot], power)
            total = total.index_add(0, own.row_index, values)
        return total * new.scale[:, None]


def compared_rows(
    features: Features, kernels: tuple[AbstractKernel, ...], irrep: Irrep
) -> FeatureRows:
    """The rows of an irrep, with invariants beside them if a kernel multiplies them."""
    beside = irrep != INVARIANT and any(kernel.uses_invariants for kernel in kernels)
    return features.rows(irrep, invariants=beside)


def summed_environments(
    kernel: AbstractKernel, rows: Environments, dual: Float[Tensor, "row target"], n_slots: int
) -> Float[Tensor, "..."]:
    """Training environments with their weights, summed where the kernel allows it.

    Returns:
        sum_i a_i x_i as [slot, feature, target] for the first power of scalar products, sum_i a_i
        x_i u_i^T as [slot, target, feature, feature] for the second, with the invariants u_i = x_i
        or those beside equivariants; nothing for other kernels.
    """
    power = kernel.power(rows.points)
    if power is None:
        return dual.new_zeros(0)
    parts, weights = [], dual * rows.scale[:, None]
    for slot in range(n_slots):
        chosen = rows.of_slot(slot)
        x, a = chosen.points.values, weights[chosen.row_index]
        if power == 1:
            parts.append(x.T @ a)
        else:
            u = chosen.points.of_invariants().values
            parts.append(torch.stack([(x * column[:, None]).T @ u for column in a.T]))
    return torch.stack(parts)


def _apply_moments(
    points: Points, moments: Float[Tensor, "..."], power: int
) -> Float[Tensor, "point target"]:
    x = points.values
    if power == 1:
        return x @ moments
    u = points.of_invariants().values
    return torch.stack([((x @ matrix) * u).sum(dim=1) for matrix in moments], dim=1)


def _combined_moments(
    moments: Float[Tensor, "..."], matrix: Float[Tensor, "target new"]
) -> Float[Tensor, "..."]:
    """Targets are the last axis for vectors, the second for matrices; otherwise there is none."""
    if moments.ndim == 4:
        return torch.einsum("stfg,tn->snfg", moments, matrix)
    return moments @ matrix if moments.ndim == 3 else moments
