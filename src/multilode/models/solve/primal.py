"""Ridge regression in the space of the features, for all rows or for several subsets of them."""

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.models.model import AbstractDesign, AbstractModel, AbstractSolution, Subsets
from multilode.models.rows import Rows, Terms
from multilode.models.solve.posterior import ProjectedPosterior
from multilode.models.solve.spectrum import regularization_unit, term_spectra
from multilode.models.solve.term_weights import GIVEN, Choice, Search, choose
from multilode.models.solve.thin import ThinSVD

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

    Args:
        search: given settings, and the choice of the others.
        intercept: unpenalized constant; None means only for intensive targets.
        centered: whether the scales s_c are those of features about their mean, where there is an
            intercept.
        search_rows: largest number of rows on which term weights are chosen; None for all.
        uncertainty: whether standard deviations are wanted.
    """

    search: Search
    intercept: bool | None
    centered: bool
    search_rows: int | None = None
    uncertainty: bool = False

    def solve(self, rows: Rows, subsets: Subsets | None) -> PrimalSolution:
        """By one singular value decomposition for all rows, or for each subset."""
        intercept = rows.intercept(self.intercept)
        means, scales, scaled = self._scaled(rows, intercept=intercept)
        choice = self._choose(replace(rows, terms=scaled), intercept=intercept)
        roots = [weight**0.5 for weight in choice.term_weights]
        stack = torch.cat([term * r for term, r in zip(scaled, roots, strict=True)], dim=1)
        g = absolute_regularization(stack, choice.regularization, rows.n_targets)
        posterior = None
        if subsets is None:
            thin = ThinSVD.of(stack, rows.y, intercept=intercept)
            solution = thin.solve(g)
            if self.uncertainty:
                posterior = ProjectedPosterior.of(thin, len(rows), g, intercept=intercept)
        else:
            below = [rows.below(subset) for subset in subsets]
            solution = solve_subsets(stack, rows.y, g, below, intercept=intercept)
        # back to features as they come
        parts = solution[0].split([len(mean) for mean in means])
        triples = zip(parts, roots, scales, strict=True)
        weights = tuple(part * (root / scale) for part, root, scale in triples)
        explained = sum(mean @ own for mean, own in zip(means, weights, strict=True))
        return PrimalSolution(
            weights=weights,
            intercept=solution[1] - explained,
            scales=scales,
            choice=choice,
            posterior=posterior,
        )

    def choice(self, rows: Rows) -> Choice:
        """The open settings alone."""
        intercept = rows.intercept(self.intercept)
        _, _, scaled = self._scaled(rows, intercept=intercept)
        return self._choose(replace(rows, terms=scaled), intercept=intercept)

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

    def _choose(self, rows: Rows, *, intercept: bool) -> Choice:
        """Term weights on some rows where there are many, the regularization on all."""
        search, table, most = self.search, (), self.search_rows
        searched = search.term_weights is None and len(rows.terms) > 1
        if searched and most is not None and len(rows) > most:
            sample = rows.sample(most, search.seed)
            found = _chosen(sample, search, intercept=intercept)
            search, table = replace(search, term_weights=found.term_weights), found.table
        choice = _chosen(rows, search, intercept=intercept)
        return choice if choice.table else replace(choice, table=table)


def _chosen(rows: Rows, search: Search, *, intercept: bool) -> Choice:
    constant = rows.y.new_ones(len(rows), int(intercept))  # no column without an intercept
    spectra = term_spectra(rows.terms, constant)
    return choose(spectra, rows.y, search, groups=rows.groups, n_targets=rows.n_targets)


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

    More features than rows are first turned into as many as there are rows, once for all subsets; a
    rotation of the features leaves the penalty as it is.
    """
    turn = None
    if rows.shape[1] > len(rows):
        turn = ThinSVD.of(rows, y, intercept=False).right
        rows = rows @ turn
    found = [ThinSVD.of(rows[s], y[s], intercept=intercept).solve(regularization) for s in subsets]
    weights = torch.cat([own for own, _ in found], dim=1)
    offsets = torch.cat([own for _, own in found])
    return (weights if turn is None else turn @ weights), offsets


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
