"""Kernel ridge regression in the space of the rows, for all of them or for several subsets."""

from dataclasses import dataclass, replace
from functools import partial
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models.kernels.row_kernels import weighted_sum
from multilode.models.model import AbstractDesign, AbstractModel, AbstractSolution, Subsets
from multilode.models.rows import Rows, Terms
from multilode.models.solve.fit import dual_weights, solve_kernel_subsets
from multilode.models.solve.posterior import Posterior, condition
from multilode.models.solve.search import settle
from multilode.models.solve.spectrum import KernelTermSpectra
from multilode.models.solve.term_weights import Choice, Search


@final
@dataclass(frozen=True, kw_only=True)
class DualSolution(AbstractSolution):
    """Weights of the rows of a training set.

    Args:
        dual: weights a of the rows; zero for those that were not fitted.
        intercept: constant, zeros if there is none.
        factors: weight of each unscaled term kernel.
        choice: regularization and term weights that were used.
        posterior: for standard deviations; None if they were not asked for.
    """

    dual: Float[Tensor, "row column"]
    intercept: Float[Tensor, " column"]
    factors: tuple[float, ...]
    choice: Choice
    posterior: Posterior | None

    def predict(self, terms: Terms) -> Float[Tensor, "new column"]:
        """Predictions from unscaled kernels between new and training rows."""
        return weighted_sum(self.factors, terms) @ self.dual + self.intercept

    def model(self, design: AbstractDesign) -> AbstractModel:
        """The model that the map makes of weights."""
        return design.map.model(design, self)


@final
@dataclass(frozen=True, kw_only=True)
class DualSolver:
    """Settings of a kernel ridge regression with K = sum_c w_c K_c / s_c.

    Each K_c is divided by the mean s_c of its diagonal, so that the weights are comparable.

    Args:
        search: given settings, and the choice of the others.
        intercept: unpenalized constant; None means only for intensive targets.
        uncertainty: whether standard deviations are wanted.
    """

    search: Search
    intercept: bool | None
    uncertainty: bool

    def solve(self, rows: Rows, subsets: Subsets | None) -> DualSolution:
        """Dual weights for kernels that are computed already.

        Args:
            rows: whose columns are kernels with rows of a training set.
            subsets: solve for each of them instead, in columns [subset, target], with what was
                chosen on all rows.
        """
        y, intercept, references = rows.y, rows.intercept(self.intercept), _references(rows)
        scales, scaled = _scaled(tuple(_square(term, references) for term in rows.terms))
        inside = replace(rows, terms=scaled, references=torch.arange(len(y)))
        settled = settle(inside, self.search, partial(_decomposed, intercept=intercept))
        choice, g, posterior = settled.choice, settled.regularization, None
        kernel = weighted_sum(choice.term_weights, scaled)
        if subsets is None:
            dual, offset = dual_weights(settled.spectrum, kernel, y, g, with_intercept=intercept)
            if self.uncertainty:
                posterior = condition(settled.spectrum, kernel, y, g, with_intercept=intercept)
        else:
            dual, offset = solve_kernel_subsets(kernel, y, g, subsets, intercept=intercept)
        everywhere = dual.new_zeros(rows.terms[0].shape[1], dual.shape[1])
        return DualSolution(
            dual=everywhere.index_copy(0, references, dual),
            intercept=offset,
            factors=tuple(w / s for w, s in zip(choice.term_weights, scales, strict=True)),
            choice=choice,
            posterior=posterior,
        )


def _decomposed(rows: Rows, *, intercept: bool) -> KernelTermSpectra:
    return KernelTermSpectra(rows.terms, rows.y.new_ones(len(rows), int(intercept)))


def _scaled(kernels: Terms) -> tuple[tuple[float, ...], Terms]:
    """Mean diagonals, and the kernels over them."""
    means = (float(kernel.diagonal().mean()) for kernel in kernels)
    scales = tuple(mean if mean > 0 else 1.0 for mean in means)
    return scales, tuple(kernel / s for kernel, s in zip(kernels, scales, strict=True))


def _references(rows: Rows) -> Int[Tensor, " row"]:
    if rows.references is None:
        raise ValueError(
            "the columns of these rows are features, not kernels with rows of a training set; "
            "collect a design with the map of a kernel ridge regression"
        )
    return rows.references


def _square(
    kernel: Float[Tensor, "row column"], references: Int[Tensor, " row"]
) -> Float[Tensor, "row row"]:
    """The columns of the rows themselves; of all rows this is the same matrix, not a copy."""
    every = torch.arange(kernel.shape[1])
    return kernel if torch.equal(references, every) else kernel[:, references]
