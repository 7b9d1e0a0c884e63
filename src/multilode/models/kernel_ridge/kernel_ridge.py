"""Kernel ridge regression, which is the mean of a Gaussian process."""

from dataclasses import dataclass
from typing import final

from multilode.models.kernel_ridge.compressed import fitted_compressions
from multilode.models.kernel_ridge.kernel_map import KernelMatrixMap
from multilode.models.kernels import SQUARE, AbstractKernel
from multilode.models.kernels.row_kernels import BLOCK_BYTES
from multilode.models.model import AbstractEstimator, Subsets
from multilode.models.problem import Problem, SampleFeatures
from multilode.models.rows import Rows
from multilode.models.solve.dual import DualSolution, DualSolver
from multilode.models.solve.term_weights import Search, check_settings

_KEPT_BYTES = 256 * 10**6

Kernels = AbstractKernel | tuple[AbstractKernel, ...]


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
            all training environments); None where the environments take less than 256 MB.
        block_bytes: bound on the memory of temporaries.
        compression: share of the variance of the features of environments that squares of scalar
            products may leave out, where there are many more environments than features, see
            `Compression`; None for 0.001 of equivariants, nothing of invariants.

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
    uncertainty: bool | None = None
    block_bytes: int = BLOCK_BYTES
    compression: float | None = None

    def __post_init__(self) -> None:
        check_settings(self.regularization, self.term_weights, self.folds)
        if self.compression is not None and not 0 <= self.compression < 1:
            raise ValueError(
                f"compression is {self.compression}; it is a share of the variance, from 0 for "
                "none to less than 1, or None"
            )

    @property
    def uses_invariants(self) -> bool:
        """Whether a kernel does."""
        return any(kernel.uses_invariants for kernel in listed_kernels(self.kernel))

    def map(self, problem: Problem, sample: SampleFeatures) -> KernelMatrixMap:
        """Kernels with all rows of the training set.

        Raises:
            ValueError: if there are not as many kernels as terms.
        """
        kernels = kernels_of(self.kernel, problem)
        centers = problem.centers if self.per_species else None
        return KernelMatrixMap(
            problem=problem,
            kernels=kernels,
            centers=centers,
            block_bytes=self.block_bytes,
            compressions=fitted_compressions(
                problem, kernels, centers, sample, seed=self.seed, tolerance=self.compression
            ),
            kept_bytes=_KEPT_BYTES if self.uncertainty is None else None,
        )

    def solve(self, rows: Rows, *, subsets: Subsets | None = None) -> DualSolution:
        """Solve by one eigendecomposition of the kernel, and trials of term weights on some rows.

        Raises:
            ValueError: if there are too few rows.
        """
        solver = DualSolver(
            search=Search.of(self, rows.problem),
            intercept=self.intercept,
            uncertainty=self.uncertainty is not False,
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
