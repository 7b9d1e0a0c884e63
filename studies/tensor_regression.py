"""Regression of one irrep with kernels that are computed already."""

import itertools
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from tensor_kernels import component_rows
from torch import Tensor

from multilode.models import KernelRidge
from multilode.models.spectrum import regularization_unit
from multilode.models.term_weights import Choice

COMPONENTS = 600  # of structures with which settings are chosen
MORE_COMPONENTS = 1200  # with which the regularization is chosen of a model of all structures
RATIOS = (0.01, 0.1, 1.0, 10.0, 100.0)  # weights of a term beside the first


@final
@dataclass(frozen=True, kw_only=True)
class Regression:
    """The regression of one irrep of a tensor with the kernels of one model.

    Args:
        estimator: its settings.
        kernels: [component of any structure, component of a trained one], one per term.
        columns: place of each structure among the trained ones.
        targets: components of the tensors of the structures that have one.
    """

    estimator: KernelRidge
    kernels: tuple[Float[Tensor, "row column"], ...]
    columns: Int[Tensor, " structure"]
    targets: Float[Tensor, "structure m copy"]

    @property
    def size(self) -> int:
        """Components of the irrep."""
        return self.targets.shape[1]

    @property
    def with_intercept(self) -> bool:
        """Whether there is a constant beside the kernels."""
        return self.estimator.reduce == "mean" and self.estimator.intercept is None

    def choose(
        self,
        subset: Int[Tensor, " chosen"],
        weights: tuple[float, ...] | None,
        components: int = COMPONENTS,
    ) -> Choice:
        """Regularization, and weights unless they are given, by cross-validation.

        The first structures of the subset that have so many components together are used: what is
        chosen is relative to the kernels' mean eigenvalue, which is the same for more.
        """
        few = subset[: max(components // self.size, 10)]
        kernels, y = self._between(few, few), self.targets[few].flatten(end_dim=1)
        groups = torch.arange(len(few)).repeat_interleave(self.size)
        tried = [weights]
        if weights is None:
            tried = [(1.0, *more) for more in itertools.product(RATIOS, repeat=len(kernels) - 1)]
        choices = [
            replace(self.estimator, term_weights=w).solve(kernels, y, groups).choice for w in tried
        ]
        return min(choices, key=cross_validated)

    def predict(
        self, subset: Int[Tensor, " chosen"], choice: Choice, others: Int[Tensor, " other"]
    ) -> Float[Tensor, "other m copy"]:
        """Predictions for `others` of the model that is fitted to the subset."""
        kernels, y = self._between(subset, subset), self.targets[subset].flatten(end_dim=1)
        cross = self._between(others, subset)
        if len(y) <= COMPONENTS or self.with_intercept:
            settled = replace(
                self.estimator,
                regularization=choice.regularization,
                term_weights=choice.term_weights,
            )
            solution = settled.solve(kernels, y)
            pairs = zip(solution.factors, cross, strict=True)
            rows = sum(f * k for f, k in pairs) @ solution.dual + solution.intercept
        else:
            rows = _predict_large(kernels, cross, y, choice)
        return rows.unflatten(0, (-1, self.size))

    def _between(
        self, left: Int[Tensor, " left"], right: Int[Tensor, " right"]
    ) -> tuple[Float[Tensor, "row column"], ...]:
        rows = component_rows(left, self.size)
        columns = component_rows(self.columns[right], self.size)
        return tuple(kernel[rows[:, None], columns] for kernel in self.kernels)


def cross_validated(choice: Choice) -> float:
    """Lowest error of the cross-validation."""
    return min(trial.rmse for trial in choice.table)


def _predict_large(
    kernels: tuple[Float[Tensor, "row row"], ...],
    cross: tuple[Float[Tensor, "other row"], ...],
    y: Float[Tensor, "row copy"],
    choice: Choice,
) -> Float[Tensor, "other copy"]:
    """Without an intercept, by one factorization instead of all eigenvalues."""
    scales = [float(kernel.diagonal().mean()) for kernel in kernels]
    factors = [w / s for w, s in zip(choice.term_weights, scales, strict=True)]
    total = sum(f * k for f, k in zip(factors, kernels, strict=True))
    trace = float(total.trace())
    centered = trace - float(total.sum()) / len(total)
    g = choice.regularization * regularization_unit(centered, trace, len(total))
    total.diagonal().add_(max(g, 1e-14 * trace))
    dual = torch.linalg.solve(total, y)
    return sum(f * k for f, k in zip(factors, cross, strict=True)) @ dual
