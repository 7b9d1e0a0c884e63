"""Estimators, a map times a solver: the interfaces of each, and of fitted models.

    features -> map -> design -> rows -> solver -> solution -> model

A *map* turns features of centers into features of rows (sums over centers, kernels with active
environments, kernels with all rows). A *solver* finds weights for rows, for all of them or for
several subsets of them at once. Committees, tensors, forces, learning curves and model files need
nothing else of an estimator than these methods.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.equivariants.features import Features
from multilode.models.linear.quadratic_model import QuadraticModel
from multilode.models.problem import Problem, SampleFeatures
from multilode.models.rows import ForceRows, Rows, Terms, regression_rows
from multilode.models.summary import ModelSummary
from multilode.numerics.modes import own_modes
from multilode.representation.representation import Representation

Design = TypeVar("Design", bound="AbstractDesign")  # the kind that a map makes

Subsets = Sequence[Int[Tensor, " _"]]  # targets that each member of a committee is fitted to


class AbstractModel(ABC):
    """A fitted model: tensors and plain settings, nothing else."""

    @property
    @abstractmethod
    def n_targets(self) -> int:
        """Number of predicted columns."""

    @abstractmethod
    def predict(self, features: Features) -> Float[Tensor, "row target"]:
        """Predictions, differentiable in the features."""

    @abstractmethod
    def predict_with_std(
        self, features: Features
    ) -> tuple[Float[Tensor, "row target"], Float[Tensor, "row target"]]:
        """Predictions and their standard deviations.

        Raises:
            ValueError: if this model has no estimate of its uncertainty.
        """

    @abstractmethod
    def deviations(
        self, features: Features
    ) -> tuple[Float[Tensor, "row target"], Float[Tensor, "row member target"]] | None:
        """Predictions, and by how much each member of a committee differs, as an error bar does.

        None if there are no members.
        """

    @abstractmethod
    def quadratic(self, representation: Representation) -> QuadraticModel | None:
        """The same predictions from coefficients; None for all but linear ones of two fields."""

    @abstractmethod
    def combined(self, matrix: Float[Tensor, "target new"]) -> "AbstractModel":
        """The model whose columns are linear combinations of the columns of this one."""

    @abstractmethod
    def summary(self) -> ModelSummary:
        """Chosen settings and errors, for reports."""


class AbstractSolution(ABC):
    """Result of a solver: weights of columns of rows."""

    @abstractmethod
    def predict(self, terms: Terms) -> Float[Tensor, "row column"]:
        """Predictions for rows; columns are [subset, target] where subsets were asked for."""

    @abstractmethod
    def model(self, design: "AbstractDesign") -> AbstractModel:
        """The model for features, from the design that was fitted."""


class AbstractDesign(ABC):
    """Rows of structures, one for each of their targets, in the form that a method needs."""

    map: "AbstractMap[Any]"
    forces: ForceRows | None  # of the same structures, if they are learned from too

    @property
    @abstractmethod
    def n_rows(self) -> int:
        """Number of rows."""

    @property
    @abstractmethod
    def columns(self) -> Terms:
        """Features of rows, in whose weights the model is linear.

        Raises:
            ValueError: if the method has none, so that it cannot learn from their derivatives.
        """

    @property
    @abstractmethod
    def references(self) -> Int[Tensor, " row"] | None:
        """Column of each row in `beside(self)`, if columns are kernels with rows."""

    @abstractmethod
    def beside(self, train: "AbstractDesign") -> Terms:
        """Columns of these rows, in the space of a training set.

        Raises:
            ValueError: if the two were not made by the same map.
        """

    @abstractmethod
    def select(self, indices: Sequence[int] | Int[Tensor, " chosen"]) -> "AbstractDesign":
        """The chosen rows, in the order given."""

    @abstractmethod
    def joined(self: Design, others: Sequence[Design]) -> Design:
        """These rows and, one after the other, those of others of the same kind."""

    @abstractmethod
    def stored(self: Design) -> Design:
        """The same on the CPU, in float64 and without gradients."""

    @abstractmethod
    def with_forces(self, forces: ForceRows) -> "AbstractDesign":
        """The same with forces to learn from."""


class AbstractMap(ABC, Generic[Design]):
    """From features of centers to features of rows; fixed before the regression begins."""

    problem: Problem  # what is learned

    @abstractmethod
    def design(self, features: Features) -> Design:
        """Rows of one batch, differentiable in its features."""

    @abstractmethod
    def model(self, design: Design, solution: Any) -> AbstractModel:
        """The model for features, from a solution for rows."""

    def collect(self, batches: Iterable[Features]) -> Design:
        """The design of all batches, each of them forgotten as soon as it is mapped.

        Raises:
            ValueError: if there is no batch.
        """
        designs = []
        for batch in batches:
            with torch.no_grad():
                designs.append(self.design(batch).stored())
        if not designs:
            raise ValueError("there are no features to learn from; give at least one structure")
        return designs[0].joined(designs[1:])


class AbstractEstimator(ABC):
    """Settings of a method; fitting returns a model and changes nothing."""

    @property
    @abstractmethod
    def uses_invariants(self) -> bool:
        """Whether features of other irreps bring along the invariants of their centers."""

    @abstractmethod
    def map(self, problem: Problem, sample: SampleFeatures) -> AbstractMap[Any]:
        """The map, for training and test sets alike.

        Args:
            problem: the regression.
            sample: gives features of training structures drawn at random, batch by batch; for maps
                that depend on the data.
        """

    @abstractmethod
    def solve(self, rows: Rows, *, subsets: Subsets | None = None) -> AbstractSolution:
        """Solve for all rows; open settings are chosen by cross-validation.

        Args:
            subsets: solve for each of these subsets of the targets (and their forces) instead, with
                the settings that were chosen on all rows.

        Raises:
            ValueError: if there are too few rows.
        """

    @own_modes(gradients=True)
    def fit(
        self,
        design: AbstractDesign,
        y: Float[Tensor, "row target"],
        *,
        groups: Int[Tensor, " row"] | None = None,
    ) -> AbstractModel:
        """The model for a design and its targets.

        Args:
            groups: rows with equal numbers are never split between folds.

        Raises:
            ValueError: if shapes disagree, numbers are not finite or data are too few.
        """
        return self.solve(training_rows(design, y, groups=groups)).model(design)


def training_rows(
    design: AbstractDesign,
    y: Float[Tensor, "row target"],
    *,
    groups: Int[Tensor, " row"] | None = None,
    weights: Float[Tensor, " row"] | None = None,
) -> Rows:
    """The rows of a design with their targets, in the space of the design itself.

    Raises:
        ValueError: if shapes disagree or numbers are not finite.
    """
    return regression_rows(
        design.map.problem,
        design.beside(design),
        y,
        forces=design.forces,
        groups=groups,
        references=design.references,
        weights=weights,
    )
