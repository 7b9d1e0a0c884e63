"""Sparse kernel ridge regression: a projected process on few active environments."""

from dataclasses import dataclass
from typing import final

import torch

from multilode.equivariants.features import Features
from multilode.models.designs import FeatureDesign
from multilode.models.kernel_ridge.kernel_model import compared_rows
from multilode.models.kernel_ridge.kernel_ridge import Kernels, kernels_of, listed_kernels
from multilode.models.kernel_ridge.sparse_model import SparseKernelModel
from multilode.models.kernels import SQUARE, AbstractKernel
from multilode.models.kernels.active import ActiveEnvironments, choose_active, project
from multilode.models.kernels.environments import EnvironmentTerms
from multilode.models.kernels.row_kernels import BLOCK_BYTES, prepare_terms
from multilode.models.model import AbstractEstimator, AbstractMap, Subsets
from multilode.models.problem import Problem, SampleFeatures
from multilode.models.rows import Rows
from multilode.models.solve.primal import PrimalSolution, PrimalSolver
from multilode.models.solve.term_weights import Search, check_settings


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class NystroemMap(AbstractMap[FeatureDesign]):
    """phi_A, features of a row A whose scalar products are its kernel, see `ActiveEnvironments`.

    Source: theory#sparse-kernel.

    Args:
        problem: the regression.
        kernels: one per term of the problem.
        active: active environments of each term; None for those that stay linear in their features.
        centers: center species that are compared with their own kind only; None compares all.
        block_bytes: bound on the memory of temporaries.
    """

    problem: Problem
    kernels: tuple[AbstractKernel, ...]
    active: tuple[ActiveEnvironments | None, ...]
    centers: tuple[int, ...] | None = None
    block_bytes: int = BLOCK_BYTES

    def design(self, features: Features) -> FeatureDesign:
        """Compare one batch with the active environments, on the CPU in float64."""
        rows = compared_rows(features, self.kernels, self.problem.irrep).to("cpu")
        prepared = prepare_terms(
            rows, self.kernels, reduce=self.problem.reduce, centers=self.centers
        )
        triples = zip(prepared.terms, self.kernels, self.active, strict=True)
        terms = (project(*triple, block_bytes=self.block_bytes) for triple in triples)
        return FeatureDesign(map=self, terms=tuple(terms))

    def model(
        self,
        design: FeatureDesign,  # noqa: ARG002 - the interface of a map
        solution: PrimalSolution,
    ) -> SparseKernelModel:
        """From weights of features to weights of active environments."""
        weights = tuple(
            own
            if active is None
            else torch.linalg.solve_triangular(active.factor.T, own, upper=True)
            for own, active in zip(solution.weights, self.active, strict=True)
        )
        return SparseKernelModel(
            kernels=self.kernels,
            active=self.active,
            weights=weights,
            intercept=solution.intercept,
            factors=solution.factors,
            term_weights=solution.choice.term_weights,
            regularization=solution.choice.regularization,
            reduce=self.problem.reduce,
            centers=self.centers,
            irrep=self.problem.irrep,
            posterior=solution.posterior,
            cv_table=solution.choice.table,
        )


@final
@dataclass(frozen=True, kw_only=True)
class SparseKernelRidge(AbstractEstimator):
    """Kernel ridge regression with K = sum_c w_c K_c in the space of few active environments.

    Active environments are farthest points among those of some structures; then all structures are
    compared with them batch by batch, so that the memory grows with structures times active
    environments only. A term with a linear kernel stays exactly linear where it has no more
    features than that. With all environments active it is `KernelRidge`.

    Source: theory#sparse-kernel; Quinonero2005.

    Args:
        kernel: between environments, one for all terms or one per term.
        n_active: number of active environments of each term.
        n_explored: number of structures, drawn at random, among whose environments they are.
        regularization: relative to the mean eigenvalue of K about its mean; None for
            cross-validation.
        term_weights: one per term; None for cross-validation.
        folds: number of folds, None for leave-one-out.
        seed: of the folds and of the structures that are drawn.
        per_species: compare only centers of the same species.
        intercept: unpenalized constant; None means only for intensive targets.
        uncertainty: keep what standard deviations need (a matrix over all active environments).
        block_bytes: bound on the memory of temporaries.

    Raises:
        ValueError: if a setting is out of range.
    """

    kernel: Kernels = SQUARE
    n_active: int = 1000
    n_explored: int = 1000
    regularization: float | None = None
    term_weights: tuple[float, ...] | None = None
    folds: int | None = 5
    seed: int = 0
    per_species: bool = True
    intercept: bool | None = None
    uncertainty: bool = True
    block_bytes: int = BLOCK_BYTES

    def __post_init__(self) -> None:
        check_settings(self.regularization, self.term_weights, self.folds)
        for name in ("n_active", "n_explored"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; use 1 or more")

    @property
    def uses_invariants(self) -> bool:
        """Whether a kernel does."""
        return any(kernel.uses_invariants for kernel in listed_kernels(self.kernel))

    def map(self, problem: Problem, sample: SampleFeatures) -> NystroemMap:
        """Kernels with active environments, which are chosen here.

        Raises:
            ValueError: if there are not as many kernels as terms, or all environments are empty.
        """
        kernels = kernels_of(self.kernel, problem)
        centers = problem.centers if self.per_species else None
        parts, components = [], problem.components
        for batch in sample(self.n_explored, self.seed):
            rows = compared_rows(batch, kernels, problem.irrep).to("cpu")
            with torch.no_grad():
                parts.append(prepare_terms(rows, kernels, reduce="sum", centers=centers))
        candidates = EnvironmentTerms.concatenate(parts)
        n_slots, active = 1 if centers is None else len(centers), []
        for rows, kernel in zip(candidates.terms, kernels, strict=True):
            narrow = rows.points.values.shape[1] * n_slots <= self.n_active * components
            linear = kernel.power(rows.points) == 1 and narrow
            chosen = None
            if not linear:
                chosen = choose_active(rows, kernel, self.n_active, components=components)
            active.append(chosen)
        return NystroemMap(
            problem=problem,
            kernels=kernels,
            active=tuple(active),
            centers=centers,
            block_bytes=self.block_bytes,
        )

    def solve(self, rows: Rows, *, subsets: Subsets | None = None) -> PrimalSolution:
        """Solve by singular value decompositions of the features.

        Raises:
            ValueError: if there are too few rows.
        """
        solver = PrimalSolver(
            search=Search.of(self, rows.problem),
            intercept=self.intercept,
            centered=False,
            uncertainty=self.uncertainty,
        )
        return solver.solve(rows, subsets)
