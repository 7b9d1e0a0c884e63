"""Kernel ridge regression, which is the mean of a Gaussian process."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.equivariants.features import Features
from multilode.models.environments import EnvironmentTerms
from multilode.models.kernel_model import KernelModel, needs_environments, summed_environments
from multilode.models.model import AbstractEstimator, Draw, Learner, Some, check_targets
from multilode.models.polynomial_kernel import (
    BLOCK_BYTES,
    PolynomialKernel,
    kernels_of_terms,
    prepare_terms,
)
from multilode.models.posterior import Posterior, condition
from multilode.models.primal import Subsets
from multilode.models.spectrum import KernelTermSpectra, Spectrum
from multilode.models.targets import Reduce, check_reduce
from multilode.models.term_weights import Choice, check_settings, choose


@final
@dataclass(frozen=True, kw_only=True)
class DualSolution:
    """Solution in the space of the training structures.

    Args:
        dual: weights a of the structures.
        intercept: constant, zeros if there is none.
        factors: weight of each unscaled term kernel.
        choice: regularization and term weights that were used.
        posterior: for standard deviations; None for several subsets.
    """

    dual: Float[Tensor, "structure target"]
    intercept: Float[Tensor, " target"]
    factors: tuple[float, ...]
    choice: Choice
    posterior: Posterior | None

    def predict(
        self, kernels: tuple[Float[Tensor, "new structure"], ...]
    ) -> Float[Tensor, "new target"]:
        """Predictions from unscaled kernels between new and training structures."""
        pairs = zip(self.factors, kernels, strict=True)
        return sum(f * kernel for f, kernel in pairs) @ self.dual + self.intercept


@final
@dataclass(frozen=True, kw_only=True)
class KernelRidge(AbstractEstimator[EnvironmentTerms]):
    """Kernel ridge regression with K = sum_c w_c K_c of polynomial kernels, w_c >= 0.

    Each K_c is divided by the mean of its diagonal, so that the weights are comparable.
    Source: Grisafi2021 section 4.3.

    Args:
        zeta: power of the kernel, one for all terms or one per term.
        normalize: whether environments are normalized, one for all terms or one per term.
        regularization: relative to the mean eigenvalue of K about its mean; None for
            cross-validation.
        term_weights: one per term; None for cross-validation.
        folds: number of folds, None for leave-one-out.
        seed: of the folds.
        per_species: compare only centers of the same species.
        reduce: "sum" for extensive, "mean" for intensive targets.
        intercept: unpenalized constant; None means only for `reduce="mean"`.
        uncertainty: keep what standard deviations need (a matrix over the training structures, and
            all training environments).
        block_bytes: bound on the memory of temporaries.

    Raises:
        ValueError: if a setting is out of range.
    """

    zeta: int | tuple[int, ...] = 2
    normalize: bool | tuple[bool, ...] = False
    regularization: float | None = None
    term_weights: tuple[float, ...] | None = None
    folds: int | None = 5
    seed: int = 0
    per_species: bool = True
    reduce: Reduce = "sum"
    intercept: bool | None = None
    uncertainty: bool = True
    block_bytes: int = BLOCK_BYTES

    def __post_init__(self) -> None:
        check_settings(self.regularization, self.term_weights, self.folds)
        check_reduce(self.reduce)
        given = [len(v) for v in (self.zeta, self.normalize) if isinstance(v, tuple)]
        self.kernels(given[0] if given else 1)

    def kernels(self, n_terms: int) -> tuple[PolynomialKernel, ...]:
        """The kernel of each term.

        Raises:
            ValueError: if a zeta is not allowed or a tuple has the wrong length.
        """
        return kernels_of_terms(n_terms, zeta=self.zeta, normalize=self.normalize)

    def explore(self, some: Some[Features], centers: tuple[int, ...]) -> None:
        """Nothing: this method needs no look at the structures before it collects them."""

    def collect(
        self,
        batches: Iterable[Features],
        centers: tuple[int, ...],
        known: None = None,  # noqa: ARG002 - the interface of an estimator
    ) -> EnvironmentTerms:
        """Keep the environments (their sums, where zeta = 1) on the CPU, in float64."""
        chosen = centers if self.per_species else None

        def prepared(batch: Features) -> EnvironmentTerms:
            kernels = self.kernels(len(batch.terms))
            with torch.no_grad():
                return prepare_terms(batch.to("cpu"), kernels, reduce=self.reduce, centers=chosen)

        return EnvironmentTerms.concatenate(prepared(batch) for batch in batches)

    def fit(
        self,
        design: EnvironmentTerms,
        y: Float[Tensor, "structure target"],
        *,
        groups: Int[Tensor, " structure"] | None = None,
    ) -> KernelModel:
        """Fit by one eigendecomposition per trial of the term weights.

        Raises:
            ValueError: if shapes disagree, numbers are not finite or data are too few.
        """
        y = check_targets(y, design.n_structures)
        solution = self.solve(self.term_kernels(design, design), y, groups)
        return self._model(design, solution, uncertainty=self.uncertainty)

    def fit_members(
        self,
        design: EnvironmentTerms,
        y: Float[Tensor, "structure target"],
        *,
        subsets: Subsets,
        groups: Int[Tensor, " structure"] | None = None,
    ) -> tuple[KernelModel, Float[Tensor, "structure column"]]:
        """One regression for each subset, with what was chosen on all, from the same kernels.

        Returns:
            A model with columns [subset, target], and what it says of all structures.

        Raises:
            ValueError: as for `fit`.
        """
        y = check_targets(y, design.n_structures)
        kernels = self.term_kernels(design, design)
        solution = self.solve(kernels, y, groups, subsets)
        model = self._model(design, solution, uncertainty=False)
        return model, solution.predict(kernels)

    def _model(
        self, design: EnvironmentTerms, solution: DualSolution, *, uncertainty: bool
    ) -> KernelModel:
        kernels = self.kernels(len(design.terms))
        n_slots = 1 if design.centers is None else len(design.centers)
        pairs = tuple(zip(design.terms, kernels, strict=True))
        moments = tuple(
            summed_environments(rows, solution.dual, kernel.zeta, n_slots) for rows, kernel in pairs
        )
        rows = tuple(
            term if uncertainty or needs_environments(kernel.zeta, term) else term.select([])
            for term, kernel in pairs
        )
        return KernelModel(
            kernels=kernels,
            environments=rows,
            moments=moments,
            dual=solution.dual,
            intercept=solution.intercept,
            factors=solution.factors,
            term_weights=solution.choice.term_weights,
            regularization=solution.choice.regularization,
            pooling=self.reduce,
            centers=design.centers,
            posterior=solution.posterior if uncertainty else None,
            cv_table=tuple(trial.as_row() for trial in solution.choice.table),
        )

    def learner(
        self,
        train: EnvironmentTerms,
        test: EnvironmentTerms,
        groups: Int[Tensor, " structure"] | None = None,
        *,
        draw: Draw | None = None,
    ) -> Learner:
        """Fit to a subset, predict `test`; the kernels are computed here, once."""
        between_train = self.term_kernels(train, train)
        test_to_train = self.term_kernels(test, train)

        def predict(
            indices: Int[Tensor, " chosen"], y: Float[Tensor, "chosen target"]
        ) -> Float[Tensor, "test column"]:
            chosen = None if groups is None else groups[indices]
            kernels = tuple(kernel[indices][:, indices] for kernel in between_train)
            subsets = None if draw is None else draw(len(indices), chosen)
            solution = self.solve(kernels, check_targets(y, len(indices)), chosen, subsets)
            return solution.predict(tuple(kernel[:, indices] for kernel in test_to_train))

        return predict

    def term_kernels(
        self, left: EnvironmentTerms, right: EnvironmentTerms
    ) -> tuple[Float[Tensor, "left right"], ...]:
        """Unscaled kernels between structures, one per term."""
        kernels = self.kernels(len(left.terms))
        triples = zip(kernels, left.terms, right.terms, strict=True)
        return tuple(k.between(a, b, block_bytes=self.block_bytes) for k, a, b in triples)

    def solve(
        self,
        kernels: tuple[Float[Tensor, "structure structure"], ...],
        y: Float[Tensor, "structure target"],
        groups: Int[Tensor, " structure"] | None = None,
        subsets: Subsets | None = None,
    ) -> DualSolution:
        """Dual weights for kernels that are computed already.

        Args:
            subsets: solve for each of them instead, in columns [subset, target], with what was
                chosen on all structures.
        """
        with_intercept = self.reduce == "mean" if self.intercept is None else self.intercept
        scales = [float(kernel.diagonal().mean()) for kernel in kernels]
        scaled = tuple(k / (s if s > 0 else 1.0) for k, s in zip(kernels, scales, strict=True))
        spectra = KernelTermSpectra(scaled, y.new_ones(len(y), int(with_intercept)))
        choice = choose(
            spectra,
            len(kernels),
            y,
            regularization=self.regularization,
            term_weights=self.term_weights,
            folds=self.folds,
            seed=self.seed,
            groups=groups,
        )
        spectrum = spectra.spectrum(choice.term_weights)
        g = float(spectrum.regularizations(y.new_tensor([choice.regularization])))
        weighted = zip(choice.term_weights, scaled, strict=True)
        kernel = sum(weight * term for weight, term in weighted)
        if subsets is None:
            dual, intercept = _dual(spectrum, kernel, y, g, with_intercept=with_intercept)
            posterior = condition(spectrum, kernel, y, g, with_intercept=with_intercept)
        else:
            parts = [_member(kernel, y, g, s, with_intercept=with_intercept) for s in subsets]
            dual = torch.cat([part for part, _ in parts], dim=1)
            intercept, posterior = torch.cat([part for _, part in parts]), None
        factors = zip(choice.term_weights, scales, strict=True)
        return DualSolution(
            dual=dual,
            intercept=intercept,
            factors=tuple(w / (s if s > 0 else 1.0) for w, s in factors),
            choice=choice,
            posterior=posterior,
        )

    def with_settings(self, **settings: Any) -> "KernelRidge":
        """The same with other settings."""
        return replace(self, **settings)


def _dual(
    spectrum: Spectrum,
    kernel: Float[Tensor, "structure structure"],
    y: Float[Tensor, "structure target"],
    regularization: float,
    *,
    with_intercept: bool,
) -> tuple[Float[Tensor, "structure target"], Float[Tensor, " target"]]:
    """Dual weights and intercept."""
    projected = spectrum.vectors.T @ y / (spectrum.eigenvalues + regularization)[:, None]
    dual = spectrum.vectors @ projected
    # K a + g a + b = y, and the mean of a is zero where there is an intercept
    return dual, (y - kernel @ dual).mean(dim=0) * int(with_intercept)


def _member(
    kernel: Float[Tensor, "structure structure"],
    y: Float[Tensor, "structure target"],
    regularization: float,
    rows: Int[Tensor, " chosen"],
    *,
    with_intercept: bool,
) -> tuple[Float[Tensor, "structure target"], Float[Tensor, " target"]]:
    """The same for some of the structures; the others get zeros."""
    own, some = kernel[rows][:, rows], y[rows]
    spectra = KernelTermSpectra((own,), y.new_ones(len(rows), int(with_intercept)))
    spectrum = spectra.spectrum((1.0,))
    g = max(regularization, spectrum.floor)
    part, intercept = _dual(spectrum, own, some, g, with_intercept=with_intercept)
    return torch.zeros_like(y).index_copy(0, rows, part), intercept
