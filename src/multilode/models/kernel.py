"""Kernel ridge regression, which is the mean of a Gaussian process."""

from dataclasses import dataclass
from typing import final

from multilode.equivariants.features import Features
from multilode.models.designs import EnvironmentDesign
from multilode.models.dual import DualSolution, DualSolver
from multilode.models.kernel_model import KernelModel, compared_rows, summed_environments
from multilode.models.kernels import SQUARE, AbstractKernel
from multilode.models.model import AbstractEstimator, AbstractMap, Subsets
from multilode.models.problem import Problem, SampleFeatures
from multilode.models.row_kernels import BLOCK_BYTES, prepare_terms
from multilode.models.rows import Rows
from multilode.models.term_weights import Search, check_settings

Kernels = AbstractKernel | tuple[AbstractKernel, ...]


@final
@dataclass(frozen=True, kw_only=True)
class KernelMatrixMap(AbstractMap):
    """K_AB, the sum or mean over pairs of centers of their kernels, with all rows B.

    Args:
        problem: what is learned.
        kernels: one per term of the problem.
        centers: center species that are compared with their own kind only; None compares all.
        block_bytes: bound on the memory of temporaries.
    """

    problem: Problem
    kernels: tuple[AbstractKernel, ...]
    centers: tuple[int, ...] | None = None
    block_bytes: int = BLOCK_BYTES

    def design(self, features: Features) -> EnvironmentDesign:
        """The environments (their sums, where a kernel is linear) on the CPU, in float64."""
        rows = compared_rows(features, self.kernels, self.problem.irrep).to("cpu")
        prepared = prepare_terms(
            rows, self.kernels, reduce=self.problem.reduce, centers=self.centers
        )
        return EnvironmentDesign(map=self, environments=prepared, block_bytes=self.block_bytes)

    def model(self, design: EnvironmentDesign, solution: DualSolution) -> KernelModel:
        """Keep the environments only where predictions or standard deviations need them."""
        n_slots = 1 if self.centers is None else len(self.centers)
        pairs = tuple(zip(self.kernels, design.environments.terms, strict=True))
        return KernelModel(
            kernels=self.kernels,
            environments=tuple(
                term if solution.posterior or kernel.power(term.points) is None else term.select([])
                for kernel, term in pairs
            ),
            moments=tuple(
                summed_environments(kernel, term, solution.dual, n_slots) for kernel, term in pairs
            ),
            dual=solution.dual,
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
class KernelRidge(AbstractEstimator):
    """Kernel ridge regression with K = sum_c w_c K_c, w_c >= 0.

    Each K_c is divided by the mean of its diagonal, so that the weights are comparable.

    Source: theory#kernel; theory#multiscale; Grisafi2021 section 4.3; Rasmussen2006.

    Args:
        kernel: between environments, one for all terms or one per term.
        regularization: relative to the mean eigenvalue of K about its mean; None for
            cross-validation.
        term_weights: one per term; None for cross-validation.
        folds: number of folds, None for leave-one-out.
        seed: of the folds.
        per_species: compare only centers of the same species.
        intercept: unpenalized constant; None means only for intensive targets.
        uncertainty: keep what standard deviations need (a matrix over the training structures, and
            all training environments).
        block_bytes: bound on the memory of temporaries.

    Raises:
        ValueError: if a setting is out of range.
    """

    kernel: Kernels = SQUARE
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

    @property
    def uses_invariants(self) -> bool:
        """Whether a kernel does."""
        return any(kernel.uses_invariants for kernel in listed_kernels(self.kernel))

    def map(
        self,
        problem: Problem,
        sample: SampleFeatures,  # noqa: ARG002 - the interface of an estimator
    ) -> KernelMatrixMap:
        """Kernels with all rows of the training set.

        Raises:
            ValueError: if there are not as many kernels as terms.
        """
        return KernelMatrixMap(
            problem=problem,
            kernels=kernels_of(self.kernel, problem),
            centers=problem.centers if self.per_species else None,
            block_bytes=self.block_bytes,
        )

    def solve(self, rows: Rows, *, subsets: Subsets | None = None) -> DualSolution:
        """Solve by one eigendecomposition per trial of the term weights.

        Raises:
            ValueError: if there are too few rows.
        """
        solver = DualSolver(
            search=Search.of(self, rows.problem),
            intercept=self.intercept,
            uncertainty=self.uncertainty,
        )
        return solver.solve(rows, subsets)


def listed_kernels(kernel: Kernels) -> tuple[AbstractKernel, ...]:
    """One kernel, or those of all terms."""
    return kernel if isinstance(kernel, tuple) else (kernel,)


def kernels_of(kernel: Kernels, problem: Problem) -> tuple[AbstractKernel, ...]:
    """The kernel of each term that has the irrep.

    Raises:
        ValueError: if there are not as many kernels as terms.
    """
    if isinstance(kernel, tuple):
        return problem.pick(kernel, "kernels")
    return (kernel,) * len(problem.terms)
