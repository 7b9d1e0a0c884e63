"""Linear models on pooled features."""

from dataclasses import dataclass
from typing import final

from multilode.equivariants.features import Features
from multilode.models.designs import FeatureDesign
from multilode.models.linear.ridge_model import RidgeModel
from multilode.models.model import AbstractEstimator, AbstractMap, Subsets
from multilode.models.pooling import pool_terms
from multilode.models.problem import Problem, SampleFeatures
from multilode.models.rows import Rows
from multilode.models.solve.primal import PrimalSolution, PrimalSolver
from multilode.models.solve.scaling import Scaling, check_scaling, solve_scaled
from multilode.models.solve.term_weights import Search, check_settings


@final
@dataclass(frozen=True, kw_only=True)
class PooledMap(AbstractMap[FeatureDesign]):
    """x_A = sum or mean over the centers i of a row A of their features x_i.

    Args:
        problem: the regression.
        centers: center species with a block of columns of their own; None if all share one.
    """

    problem: Problem
    centers: tuple[int, ...] | None = None

    def design(self, features: Features) -> FeatureDesign:
        """Pooled features of one batch, in the type and on the device that they have."""
        rows = features.rows(self.problem.irrep)
        terms = pool_terms(rows, reduce=self.problem.reduce, centers=self.centers)
        return FeatureDesign(map=self, terms=terms)

    def model(
        self,
        design: FeatureDesign,  # noqa: ARG002 - the interface of a map
        solution: PrimalSolution,
    ) -> RidgeModel:
        """The linear model with these weights."""
        return RidgeModel(
            weights=solution.weights,
            intercept=solution.intercept,
            scales=solution.scales,
            term_weights=solution.choice.term_weights,
            regularization=solution.choice.regularization,
            reduce=self.problem.reduce,
            centers=self.centers,
            irrep=self.problem.irrep,
            cv_table=solution.choice.table,
        )


@final
@dataclass(frozen=True, kw_only=True)
class Ridge(AbstractEstimator):
    """Ridge regression on pooled features, several correlation terms with weights w_c >= 0.

    The penalty is that of the kernel K = sum_c w_c X_c X_c^T, where X_c are the pooled features of
    a term divided by their root mean squared norm.

    Source: theory#ridge; theory#multiscale; Grisafi2021 section 4.3.

    Args:
        regularization: relative to the mean eigenvalue of K about its mean; None for
            cross-validation.
        term_weights: one per term; None for cross-validation.
        folds: number of folds, None for leave-one-out.
        seed: of the folds.
        per_species: one weight vector per center species.
        intercept: unpenalized constant; None means only for intensive targets.
        scaling: of the columns of features: "none", by their spread ("standard") or its root
            ("root"), or "auto" for the best of these in cross-validation. Fits to many forces,
            which store no rows, have none.

    Raises:
        ValueError: if a setting is out of range.
    """

    regularization: float | None = None
    term_weights: tuple[float, ...] | None = None
    folds: int | None = 5
    seed: int = 0
    per_species: bool = True
    intercept: bool | None = None
    scaling: Scaling = "none"

    def __post_init__(self) -> None:
        check_settings(self.regularization, self.term_weights, self.folds)
        check_scaling(self.scaling)

    @property
    def uses_invariants(self) -> bool:
        """No."""
        return False

    def map(
        self,
        problem: Problem,
        sample: SampleFeatures,  # noqa: ARG002 - the interface of an estimator
    ) -> PooledMap:
        """Sums or means over centers, which do not depend on the data."""
        return PooledMap(problem=problem, centers=problem.centers if self.per_species else None)

    def solve(self, rows: Rows, *, subsets: Subsets | None = None) -> PrimalSolution:
        """Solve by singular value decompositions, after the choice of open settings.

        Raises:
            ValueError: if there are too few rows.
        """
        search = Search.of(self, rows.problem)
        solver = PrimalSolver(search=search, intercept=self.intercept, centered=True)
        scaling: Scaling = self.scaling
        if scaling == "auto" and subsets is not None:  # the choice is that of all rows
            scaling = solve_scaled(rows, scaling, lambda own: solver.solve(own, None))[0]
        return solve_scaled(rows, scaling, lambda own: solver.solve(own, subsets))[1]
