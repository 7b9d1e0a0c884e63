"""Sparse kernel ridge regression: a projected process on few active environments."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.equivariants.features import Features
from multilode.models.active import choose_active, project
from multilode.models.environments import EnvironmentTerms
from multilode.models.force_rows import Rows, regression_rows
from multilode.models.model import AbstractEstimator, Draw, Learner, Some, check_targets
from multilode.models.polynomial_kernel import (
    BLOCK_BYTES,
    PolynomialKernel,
    kernels_of_terms,
    prepare_terms,
)
from multilode.models.primal import Subsets, Thin, absolute_regularization, solve_subsets
from multilode.models.sparse_design import ActiveTerms, SparseDesign
from multilode.models.sparse_model import ProjectedPosterior, SparseKernelModel
from multilode.models.spectrum import term_spectra
from multilode.models.targets import Reduce, check_reduce
from multilode.models.term_weights import Choice, check_settings, choose

_SEARCH_ROWS = 1500  # with which term weights are chosen; each trial decomposes all columns


@final
@dataclass(frozen=True, kw_only=True)
class SparseKernelRidge(AbstractEstimator[SparseDesign]):
    """Kernel ridge regression with K = sum_c w_c K_c in the space of few active environments.

    Active environments are farthest points among those of some structures; then all structures are
    compared with them batch by batch, so that the memory grows with structures times active
    environments only. A term with zeta = 1 stays exactly linear where it has no more features than
    that. With all environments active it is `KernelRidge`. Source: theory, section 5.

    Args:
        zeta: power of the kernel, one for all terms or one per term.
        normalize: whether environments are normalized, one for all terms or one per term.
        n_active: number of active environments of each term.
        n_explored: number of structures, drawn at random, among whose environments they are.
        regularization: relative to the mean eigenvalue of K about its mean; None for
            cross-validation.
        term_weights: one per term; None for cross-validation, on at most 1500 structures,
            components of tensors or forces drawn at random.
        folds: number of folds, None for leave-one-out.
        seed: of the folds and of the structures that are drawn.
        per_species: compare only centers of the same species.
        reduce: "sum" for extensive, "mean" for intensive targets.
        intercept: unpenalized constant; None means only for `reduce="mean"`.
        uncertainty: keep what standard deviations need (a matrix over all active environments).
        block_bytes: bound on the memory of temporaries.

    Raises:
        ValueError: if a setting is out of range.
    """

    zeta: int | tuple[int, ...] = 2
    normalize: bool | tuple[bool, ...] = False
    n_active: int = 1000
    n_explored: int = 1000
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
        for name in ("n_active", "n_explored"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; use 1 or more")

    def kernels(self, n_terms: int) -> tuple[PolynomialKernel, ...]:
        """The kernel of each term.

        Raises:
            ValueError: if a zeta is not allowed or a tuple has the wrong length.
        """
        return kernels_of_terms(n_terms, zeta=self.zeta, normalize=self.normalize)

    def explore(self, some: Some[Features], centers: tuple[int, ...]) -> ActiveTerms:
        """Choose the active environments."""
        chosen, components, parts = centers if self.per_species else None, 1, []
        for batch in some(self.n_explored, self.seed):
            components, here = batch.components, batch.to("cpu")
            kernels = self.kernels(len(here.terms))
            with torch.no_grad():
                parts.append(prepare_terms(here, kernels, reduce="sum", centers=chosen))
        candidates = EnvironmentTerms.concatenate(parts)
        n_slots = 1 if chosen is None else len(chosen)
        terms = []
        for rows, kernel in zip(candidates.terms, self.kernels(len(candidates.terms)), strict=True):
            narrow = rows.values.shape[1] * n_slots <= self.n_active * components
            linear = kernel.zeta == 1 and narrow
            terms.append(
                None
                if linear
                else choose_active(rows, kernel, self.n_active, components=components)
            )
        return ActiveTerms(terms=tuple(terms), centers=chosen)

    def collect(
        self,
        batches: Iterable[Features],
        centers: tuple[int, ...],
        known: ActiveTerms | None = None,
    ) -> SparseDesign:
        """Compare each batch with the active environments, and forget its own.

        Args:
            known: what `explore` returned.

        Raises:
            ValueError: if there are no active environments.
        """
        with torch.no_grad():
            return SparseDesign.concatenate(
                self.design_of(batch, centers, known) for batch in batches
            )

    def design_of(
        self,
        features: Features,
        centers: tuple[int, ...],  # noqa: ARG002 - known already
        known: ActiveTerms | None = None,
    ) -> SparseDesign:
        """Compare one batch with the active environments.

        Raises:
            ValueError: if there are no active environments.
        """
        if known is None:
            raise ValueError(
                "a sparse kernel compares structures with active environments; choose them with "
                "explore() first"
            )
        kernels = self.kernels(len(features.terms))
        rows = prepare_terms(features.to("cpu"), kernels, reduce=self.reduce, centers=known.centers)
        triples = zip(rows.terms, kernels, known.terms, strict=True)
        terms = (project(*triple, block_bytes=self.block_bytes) for triple in triples)
        return SparseDesign(terms=tuple(terms), active=known)

    def fit(
        self,
        design: SparseDesign,
        y: Float[Tensor, "structure target"],
        *,
        groups: Int[Tensor, " structure"] | None = None,
    ) -> SparseKernelModel:
        """Fit by a singular value decomposition of the features.

        Raises:
            ValueError: if shapes disagree, numbers are not finite or data are too few.
        """
        fitting = self._prepare(design, y, groups)
        rows, g, posterior = fitting.rows.y, fitting.regularization, None
        thin = Thin.of(fitting.stack, rows, intercept=fitting.intercept)
        if self.uncertainty:
            posterior = ProjectedPosterior.of(thin, len(rows), g, intercept=fitting.intercept)
        return self._model(fitting, design, thin.solve(g), posterior)

    def fit_members(
        self,
        design: SparseDesign,
        y: Float[Tensor, "structure target"],
        *,
        subsets: Subsets,
        groups: Int[Tensor, " structure"] | None = None,
    ) -> tuple[SparseKernelModel, Float[Tensor, "structure column"]]:
        """One regression for each subset, with what was chosen on all.

        Returns:
            A model with columns [subset, target], and what it says of all structures.

        Raises:
            ValueError: as for `fit`.
        """
        fitting = self._prepare(design, y, groups)
        weights, offsets = fitting.members(subsets)
        model = self._model(fitting, design, (weights, offsets), None)
        return model, fitting.stack[: fitting.rows.n_structures] @ weights + offsets

    def learner(
        self,
        train: SparseDesign,
        test: SparseDesign,
        groups: Int[Tensor, " structure"] | None = None,
        *,
        draw: Draw | None = None,
    ) -> Learner:
        """Fit to a subset, predict `test`; the active environments stay the same.

        Raises:
            ValueError: if the two were compared with different active environments.
        """
        if train.active is not test.active:
            raise ValueError(
                "training and test set were compared with different active environments; collect "
                "both with what was explored in the training set"
            )

        def predict(
            indices: Int[Tensor, " chosen"], y: Float[Tensor, "chosen target"]
        ) -> Float[Tensor, "test column"]:
            chosen = None if groups is None else groups[indices]
            fitting = self._prepare(train.select(indices), y, chosen)
            whole = (torch.arange(len(indices)),)
            subsets = whole if draw is None else draw(len(indices), chosen)
            weights, offsets = fitting.members(subsets)
            return _stacked(test.terms, fitting.factors) @ weights + offsets

        return predict

    def with_settings(self, **settings: Any) -> "SparseKernelRidge":
        """The same with other settings."""
        return replace(self, **settings)

    def _prepare(
        self,
        design: SparseDesign,
        y: Float[Tensor, "structure target"],
        groups: Int[Tensor, " structure"] | None,
    ) -> "_Fitting":
        """Scale the features and choose what was left open."""
        y = check_targets(y, design.n_structures)
        intercept = self.reduce == "mean" if self.intercept is None else self.intercept
        rows = regression_rows(design.terms, y, design.forces, groups=groups, intercept=intercept)
        scales = tuple(float(x.square().sum(dim=1).mean()) or 1.0 for x in rows.terms)
        scaled = tuple(x / s**0.5 for x, s in zip(rows.terms, scales, strict=True))
        choice = self._choose(replace(rows, terms=scaled), intercept=intercept)
        factors = tuple(w / s for w, s in zip(choice.term_weights, scales, strict=True))
        stack = _stacked(rows.terms, factors)
        return _Fitting(
            stack=stack,
            rows=rows,
            factors=factors,
            choice=choice,
            regularization=absolute_regularization(stack, choice.regularization, rows.n_structures),
            intercept=intercept,
        )

    def _choose(self, rows: Rows, *, intercept: bool) -> Choice:
        """Term weights on some structures where there are many, the regularization on all."""
        weights, table = self.term_weights, ()
        if weights is None and len(rows.terms) > 1 and len(rows.y) > _SEARCH_ROWS:
            found = self._chosen(rows.sample(_SEARCH_ROWS, self.seed), weights, intercept=intercept)
            weights, table = found.term_weights, found.table
        choice = self._chosen(rows, weights, intercept=intercept)
        return choice if choice.table else replace(choice, table=table)

    def _chosen(self, rows: Rows, weights: tuple[float, ...] | None, *, intercept: bool) -> Choice:
        y = rows.y
        return choose(
            term_spectra(rows.terms, y.new_ones(len(y), int(intercept))),
            len(rows.terms),
            y,
            regularization=self.regularization,
            term_weights=weights,
            folds=self.folds,
            seed=self.seed,
            groups=rows.groups,
            n_targets=rows.n_structures,
        )

    def _model(
        self,
        fitting: "_Fitting",
        design: SparseDesign,
        solution: tuple[Float[Tensor, "feature column"], Float[Tensor, " column"]],
        posterior: ProjectedPosterior | None,
    ) -> SparseKernelModel:
        """From weights of features to weights of active environments."""
        parts = solution[0].split([term.shape[1] for term in design.terms])
        weights = []
        for part, factor, active in zip(parts, fitting.factors, design.active.terms, strict=True):
            own = part * factor**0.5
            if active is not None:
                own = torch.linalg.solve_triangular(active.factor.T, own, upper=True)
            weights.append(own)
        return SparseKernelModel(
            kernels=self.kernels(len(design.terms)),
            active=design.active.terms,
            weights=tuple(weights),
            intercept=solution[1],
            factors=fitting.factors,
            term_weights=fitting.choice.term_weights,
            regularization=fitting.choice.regularization,
            pooling=self.reduce,
            centers=design.active.centers,
            posterior=posterior,
            cv_table=tuple(trial.as_row() for trial in fitting.choice.table),
        )


@final
@dataclass(frozen=True, kw_only=True)
class _Fitting:
    """Weighted features side by side, and what they are regressed with."""

    stack: Float[Tensor, "row column"]
    rows: Rows
    factors: tuple[float, ...]
    choice: Choice
    regularization: float
    intercept: bool

    def members(
        self, subsets: Subsets
    ) -> tuple[Float[Tensor, "column member"], Float[Tensor, " member"]]:
        """Weights and intercepts of one regression for each subset of the structures."""
        return solve_subsets(
            self.stack,
            self.rows.y,
            self.regularization,
            [self.rows.of(subset) for subset in subsets],
            intercept=self.intercept,
        )


def _stacked(
    terms: tuple[Float[Tensor, "structure _"], ...], factors: tuple[float, ...]
) -> Float[Tensor, "structure column"]:
    return torch.cat([x * factor**0.5 for x, factor in zip(terms, factors, strict=True)], dim=1)
