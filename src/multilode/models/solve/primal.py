"""Ridge regression in the space of the features, for all rows or for several subsets of them."""

from dataclasses import dataclass, replace
from functools import partial
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models.model import AbstractDesign, AbstractModel, AbstractSolution, Subsets
from multilode.models.rows import Rows, Terms
from multilode.models.solve.fit import Fit, solve_kernel_subsets
from multilode.models.solve.posterior import ProjectedPosterior
from multilode.models.solve.search import settle
from multilode.models.solve.spectrum import (
    AbstractTermSpectra,
    regularization_unit,
    term_spectra,
)
from multilode.models.solve.term_weights import GIVEN, Choice, Search
from multilode.models.solve.thin import ThinSVD
from multilode.scheduling import mapped

Weights = tuple[Float[Tensor, "_ column"], ...]

_ROUNDING = 1e-13  # what a sum over rows leaves of features that are all the same


@final
@dataclass(frozen=True, kw_only=True)
class PrimalSolution(AbstractSolution):
    """Weights of features.

    Args:
        weights: of each term, for features as they come (all scales are inside).
        intercept: constants of the columns; zeros if there are none.
        scales: root mean squared norm of each term; features are divided by it before the term
            weights act.
        choice: regularization and term weights that were used.
        posterior: for standard deviations; None if they were not asked for.
    """

    weights: Weights
    intercept: Float[Tensor, " column"]
    scales: tuple[float, ...] = ()
    choice: Choice = GIVEN
    posterior: ProjectedPosterior | None = None

    @property
    def factors(self) -> tuple[float, ...]:
        """Weight of the unscaled kernel X X^T of each term."""
        pairs = zip(self.choice.term_weights, self.scales, strict=True)
        return tuple(weight / scale**2 for weight, scale in pairs)

    def predict(self, terms: Terms) -> Float[Tensor, "row column"]:
        """Predictions from features of rows.

        Raises:
            ValueError: if number or width of the terms are not those of the training.
        """
        return linear_predictions(terms, self.weights, self.intercept)

    def model(self, design: AbstractDesign) -> AbstractModel:
        """The model that the map makes of weights."""
        return design.map.model(design, self)

    @staticmethod
    def joined(parts: "list[PrimalSolution]") -> "PrimalSolution":
        """The columns of several solutions side by side."""
        columns = zip(*(part.weights for part in parts), strict=True)
        return replace(
            parts[0],
            weights=tuple(torch.cat(column, dim=1) for column in columns),
            intercept=torch.cat([part.intercept for part in parts]),
            posterior=None,
        )


def linear_predictions(
    terms: Terms, weights: Weights, intercept: Float[Tensor, " column"]
) -> Float[Tensor, "row column"]:
    """b + sum_c X_c w_c.

    Raises:
        ValueError: if number or width of the terms are not those of the weights.
    """
    widths, expected = [term.shape[1] for term in terms], [len(weight) for weight in weights]
    if widths != expected:
        raise ValueError(
            f"rows have {widths} columns per term, the model was fitted with {expected}; compute "
            "them with the representation of the training"
        )
    parts = zip(terms, weights, strict=True)
    return intercept + sum(x.to(w) @ w for x, w in parts)


@final
@dataclass(frozen=True, kw_only=True)
class PrimalSolver:
    """Settings of a ridge regression with the penalty of K = sum_c w_c X_c X_c^T / s_c^2.

    Features that are more than the rows are never decomposed: their weights are X^T a, with the
    dual weights a of the kernel matrix of the rows.

    Args:
        search: given settings, and the choice of the others.
        intercept: unpenalized constant; None means only for intensive targets.
        centered: whether the scales s_c are those of features about their mean, where there is an
            intercept.
        uncertainty: whether standard deviations are wanted.
    """

    search: Search
    intercept: bool | None
    centered: bool
    uncertainty: bool = False

    def solve(self, rows: Rows, subsets: Subsets | None) -> PrimalSolution:
        """By the one decomposition that the settings were chosen from, or one for each subset."""
        intercept = rows.intercept(self.intercept)
        means, scales, scaled = self._scaled(rows, intercept=intercept)
        inside = replace(rows, terms=scaled)
        settled = settle(inside, self.search, partial(_decomposed, intercept=intercept))
        choice, posterior = settled.choice, None
        roots = [weight**0.5 for weight in choice.term_weights]
        stack = torch.cat([term * r for term, r in zip(scaled, roots, strict=True)], dim=1)
        if subsets is None:
            fit = Fit.of(settled, stack, rows.y, intercept=intercept)
            found, offset = fit.weights, fit.offset
            if self.uncertainty:
                posterior = fit.posterior()
        else:
            g = absolute_regularization(stack, choice.regularization, rows.n_targets)
            below = [rows.below(subset) for subset in subsets]
            found, offset = solve_subsets(stack, rows.y, g, below, intercept=intercept)
        # back to features as they come
        triples = zip(found.split([len(mean) for mean in means]), roots, scales, strict=True)
        weights = tuple(part * (root / scale) for part, root, scale in triples)
        explained = sum(mean @ own for mean, own in zip(means, weights, strict=True))
        return PrimalSolution(
            weights=weights,
            intercept=offset - explained,
            scales=scales,
            choice=choice,
            posterior=posterior,
        )

    def _scaled(
        self, rows: Rows, *, intercept: bool
    ) -> tuple[tuple[Float[Tensor, " _"], ...], tuple[float, ...], Terms]:
        """Means, scales, and the features less the one over the other."""
        shift = int(intercept and self.centered)
        means = tuple(term.mean(dim=0) * shift for term in rows.terms)
        centered = tuple(
            _about(term, mean) if self.centered else term
            for term, mean in zip(rows.terms, means, strict=True)
        )
        scales = tuple(_root_mean_squared_norm(term) for term in centered)
        return means, scales, tuple(x / s for x, s in zip(centered, scales, strict=True))


def _decomposed(rows: Rows, *, intercept: bool) -> AbstractTermSpectra:
    constant = rows.y.new_ones(len(rows), int(intercept))  # no column without an intercept
    return term_spectra(rows.terms, constant)


def absolute_regularization(
    rows: Float[Tensor, "row feature"], relative: float, n_targets: int
) -> float:
    """From the mean eigenvalue of the kernel about its mean to the unit of that kernel.

    Args:
        n_targets: number of rows, the first, that vary about a mean; derivatives may follow them.
    """
    first, derivatives = rows[:n_targets], rows[n_targets:]
    centered = float((first - first.mean(dim=0)).square().sum() + derivatives.square().sum())
    return relative * regularization_unit(centered, float(rows.square().sum()), len(rows))


def solve_subsets(
    rows: Float[Tensor, "row feature"],
    y: Float[Tensor, "row target"],
    regularization: float,
    subsets: Subsets,
    *,
    intercept: bool,
) -> tuple[Float[Tensor, "feature column"], Float[Tensor, " column"]]:
    """Weights and intercepts of one regression for each subset, in columns [subset, target].

    With more features than rows the regressions are those of one kernel matrix.
    """
    if rows.shape[1] <= len(rows):
        found = list(mapped(_member, subsets, rows, y, regularization, intercept))
        return torch.cat([w for w, _ in found], dim=1), torch.cat([b for _, b in found])
    kernel = rows @ rows.T
    dual, offsets = solve_kernel_subsets(kernel, y, regularization, subsets, intercept=intercept)
    return rows.T @ dual, offsets


def _member(
    subset: Int[Tensor, " chosen"],
    rows: Float[Tensor, "row feature"],
    y: Float[Tensor, "row target"],
    regularization: float,
    intercept: bool,  # noqa: FBT001 - tasks have no keywords
) -> tuple[Float[Tensor, "feature target"], Float[Tensor, " target"]]:
    """Weights and intercept of one subset."""
    part = ThinSVD.of(rows[subset], y[subset], intercept=intercept)
    return part.solve(regularization)


def _about(
    rows: Float[Tensor, "row feature"], mean: Float[Tensor, " feature"]
) -> Float[Tensor, "row feature"]:
    """Rows less `mean`; exactly zero if they differ by rounding, which no scale may blow up."""
    centered = rows - mean
    if bool(centered.norm() <= _ROUNDING * rows.norm()):
        return torch.zeros_like(rows)
    return centered


def _root_mean_squared_norm(rows: Float[Tensor, "row feature"]) -> float:
    norm = float(rows.square().sum(dim=1).mean().sqrt())
    return norm if norm > 0 else 1.0
