"""What every estimator and every fitted model can do."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.equivariants.features import Features
from multilode.models.targets import Reduce

Design = TypeVar("Design")
Batch = TypeVar("Batch")
# from a number and a seed to the features of that many structures, drawn at random
Some = Callable[[int, int], Iterable[Batch]]
Learner = Callable[[Int[Tensor, " chosen"], Float[Tensor, "chosen target"]], Tensor]
# from a number of rows and their groups to the rows of each member of a committee
Draw = Callable[[int, Int[Tensor, " row"] | None], tuple[Int[Tensor, " _"], ...]]


class AbstractModel(ABC):
    """A fitted model: tensors and plain settings, nothing else."""

    @property
    @abstractmethod
    def n_targets(self) -> int:
        """Number of predicted columns."""

    @property
    @abstractmethod
    def reduce(self) -> Reduce:
        """Sum over centers (extensive) or mean (intensive)."""

    @abstractmethod
    def predict(self, features: Features) -> Float[Tensor, "structure target"]:
        """Predictions, differentiable in the features."""

    @abstractmethod
    def predict_with_std(
        self, features: Features
    ) -> tuple[Float[Tensor, "structure target"], Float[Tensor, "structure target"]]:
        """Predictions and their standard deviations.

        Raises:
            ValueError: if this model has no estimate of its uncertainty.
        """

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """The numbers of the model, by name, for a file."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything else, in types that JSON knows."""

    @classmethod
    @abstractmethod
    def from_parts(
        cls, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]
    ) -> "AbstractModel":
        """The model back from `tensors()` and `settings()`."""


class AbstractEstimator(ABC, Generic[Design]):
    """Settings of a method; `fit` returns a model and changes nothing.

    A *design* is what the method needs to know of the training structures: pooled features, or the
    features of all environments. It is collected batch by batch, so that what is not needed never
    has to be in memory at once, and it knows `n_structures` and `select(indices)`.
    """

    reduce: Reduce

    @abstractmethod
    def explore(self, some: Some[Features], centers: tuple[int, ...]) -> Any:
        """What the method must know of some training structures before it collects all; or None.

        Args:
            some: gives features of structures drawn at random, batch by batch.
            centers: atomic numbers that may be centers.
        """

    @abstractmethod
    def collect(
        self, batches: Iterable[Features], centers: tuple[int, ...], known: Any = None
    ) -> Design:
        """Design of all structures of the batches, in order.

        Args:
            centers: atomic numbers that may be centers.
            known: what `explore` found in the training set, for training and test sets alike.
        """

    def design_of(
        self,
        features: Features,  # noqa: ARG002 - the interface of those that can
        centers: tuple[int, ...],  # noqa: ARG002
        known: Any = None,  # noqa: ARG002
    ) -> Design:
        """Design of one batch, differentiable in its features.

        Args:
            centers: atomic numbers that may be centers.
            known: what `explore` found in the training set.

        Raises:
            ValueError: if the method has no features of structures, so that it cannot learn from
                their derivatives.
        """
        raise ValueError(
            "forces can be learned by a ridge, a sparse kernel or a committee of either, for "
            f"targets that are no tensors, not by {type(self).__name__}"
        )

    @abstractmethod
    def fit(
        self,
        design: Design,
        y: Float[Tensor, "structure target"],
        *,
        groups: Int[Tensor, " structure"] | None = None,
    ) -> AbstractModel:
        """Fit to the targets of the structures; open settings are chosen by cross-validation.

        Args:
            groups: structures with equal numbers are never split between folds.
        """

    @abstractmethod
    def learner(
        self, train: Design, test: Design, groups: Int[Tensor, " structure"] | None = None
    ) -> Learner:
        """A function from (indices into `train`, their targets) to predictions for `test`.

        Whatever does not depend on the subset is computed here, once.
        """

    @abstractmethod
    def with_settings(self, **settings: Any) -> "AbstractEstimator":
        """The same method with other settings of the regression, such as `reduce`."""


def check_targets(
    y: Float[Tensor, "structure target"], n_structures: int
) -> Float[Tensor, "structure target"]:
    """`y` in float64.

    Raises:
        ValueError: if it is not a finite matrix with one row per structure.
    """
    if y.ndim != 2 or len(y) != n_structures or n_structures == 0 or y.shape[1] == 0:
        raise ValueError(
            f"targets of shape {list(y.shape)} for {n_structures} structures; give one row per "
            "structure and one column per target, and at least one of both"
        )
    bad = ~torch.isfinite(y).all(dim=1)
    if bool(bad.any()):
        raise ValueError(
            f"the target of structure {int(bad.nonzero()[0])} is not finite; remove the structure "
            "or repair its value"
        )
    return y.detach().to(torch.float64)
