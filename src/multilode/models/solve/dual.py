"""Kernel ridge regression in the space of the rows, for all of them or for several subsets."""

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models.kernels.row_kernels import weighted_sum
from multilode.models.model import AbstractDesign, AbstractModel, AbstractSolution, Subsets
from multilode.models.rows import Rows, Terms
from multilode.models.solve.posterior import Posterior, condition
from multilode.models.solve.spectrum import KernelTermSpectra, Spectrum
from multilode.models.solve.term_weights import Choice, Search, choose


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
        limit = rows.search_rows
        searched = self.search.term_weights is None and len(rows.terms) > 1
        if limit is None or not searched or len(rows) <= limit:
            return self._solve(rows, subsets)
        # each trial of a search decomposes the kernel of all rows
        weights = self._solve(self._sample(rows, limit), None).choice.term_weights
        settled = replace(self, search=replace(self.search, term_weights=weights))
        return settled._solve(rows, subsets)

    def _sample(self, rows: Rows, most: int) -> Rows:
        """Some structures or centers, drawn at random, with all their components."""
        n = rows.problem.components
        generator = torch.Generator().manual_seed(self.search.seed)
        order = torch.randperm(len(rows) // n, generator=generator)
        units = order[: most // n].sort().values
        return rows.select((units[:, None] * n + torch.arange(n)).flatten())

    def _solve(self, rows: Rows, subsets: Subsets | None) -> DualSolution:
        y, intercept, references = rows.y, rows.intercept(self.intercept), _references(rows)
        kernels = tuple(_square(term, references) for term in rows.terms)
        scales = [float(kernel.diagonal().mean()) for kernel in kernels]
        scales = [scale if scale > 0 else 1.0 for scale in scales]
        scaled = tuple(kernel / s for kernel, s in zip(kernels, scales, strict=True))
        spectra = KernelTermSpectra(scaled, y.new_ones(len(y), int(intercept)))
        choice = choose(spectra, y, self.search, groups=rows.groups)
        spectrum = spectra.spectrum(choice.term_weights)
        g = float(spectrum.regularizations(y.new_tensor([choice.regularization])))
        kernel = weighted_sum(choice.term_weights, scaled)
        posterior = None
        if subsets is None:
            dual, offset = _dual(spectrum, kernel, y, g, with_intercept=intercept)
            if self.uncertainty:
                posterior = condition(spectrum, kernel, y, g, with_intercept=intercept)
        else:
            parts = [_member(kernel, y, g, s, with_intercept=intercept) for s in subsets]
            dual = torch.cat([part for part, _ in parts], dim=1)
            offset = torch.cat([part for _, part in parts])
        everywhere = dual.new_zeros(rows.terms[0].shape[1], dual.shape[1])
        return DualSolution(
            dual=everywhere.index_copy(0, references, dual),
            intercept=offset,
            factors=tuple(w / s for w, s in zip(choice.term_weights, scales, strict=True)),
            choice=choice,
            posterior=posterior,
        )


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


def _dual(
    spectrum: Spectrum,
    kernel: Float[Tensor, "row row"],
    y: Float[Tensor, "row target"],
    regularization: float,
    *,
    with_intercept: bool,
) -> tuple[Float[Tensor, "row target"], Float[Tensor, " target"]]:
    """Dual weights and intercept."""
    projected = spectrum.vectors.T @ y / (spectrum.eigenvalues + regularization)[:, None]
    dual = spectrum.vectors @ projected
    # K a + g a + b = y, and the mean of a is zero where there is an intercept
    return dual, (y - kernel @ dual).mean(dim=0) * int(with_intercept)


def _member(
    kernel: Float[Tensor, "row row"],
    y: Float[Tensor, "row target"],
    regularization: float,
    rows: Int[Tensor, " chosen"],
    *,
    with_intercept: bool,
) -> tuple[Float[Tensor, "row target"], Float[Tensor, " target"]]:
    """The same for some of the rows; the others get zeros."""
    own, some = kernel[rows][:, rows], y[rows]
    spectra = KernelTermSpectra((own,), y.new_ones(len(rows), int(with_intercept)))
    spectrum = spectra.spectrum((1.0,))
    g = max(regularization, spectrum.floor)
    part, intercept = _dual(spectrum, own, some, g, with_intercept=with_intercept)
    return torch.zeros_like(y).index_copy(0, rows, part), intercept
